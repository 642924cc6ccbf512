// The Node-API face of the codec: readElements(bytes, end, place, elements), writeElements(elements, sizes,
// place, bytes), firstNotFinite(elements) and copyBytes(from, to, at). The first two continue from a place,
// which is an array of numbers, leave there how far they have come, and return why they stopped. All that is
// given is checked, so that a wrong call is a RangeError and never a crash.
#include <node_api.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "finite.h"
#include "read_elements.h"
#include "write_elements.h"

namespace attention::codec {

namespace {

class BadCall : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const BadCall& error) {
    napi_throw_range_error(env, "ERR_CODEC_CALL", error.what());
  } catch (const std::exception& error) {
    napi_throw_error(env, "ERR_CODEC_NATIVE", error.what());
  }
  return nullptr;
}

template <size_t kCount>
void readArguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  size_t count = kCount;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  if (count != kCount) throw BadCall("Expected " + std::to_string(kCount) + " arguments.");
}

struct Array {
  napi_typedarray_type type;
  int64_t length;
  void* data;
};

Array readArray(napi_env env, napi_value value, const char* name) {
  bool isArray = false;
  size_t length = 0;
  Array array{};
  if (napi_is_typedarray(env, value, &isArray) != napi_ok || !isArray ||
      napi_get_typedarray_info(env, value, &array.type, &length, &array.data, nullptr, nullptr) != napi_ok) {
    throw BadCall(std::string(name) + ": expected a typed array.");
  }
  array.length = static_cast<int64_t>(length);
  return array;
}

template <typename Element>
struct Elements {
  Element* data;
  int64_t length;
};

template <typename Element>
Elements<Element> readArray(napi_env env, napi_value value, const char* name, napi_typedarray_type type) {
  const Array array = readArray(env, value, name);
  if (array.type != type) throw BadCall(std::string(name) + ": expected another type of elements.");
  return {static_cast<Element*>(array.data), array.length};
}

Elements<uint8_t> readBytes(napi_env env, napi_value value) {
  return readArray<uint8_t>(env, value, "bytes", napi_uint8_array);
}

/// Numbers of JavaScript that are to be integers within bounds.
class Numbers {
 public:
  Numbers(napi_env env, napi_value value, const char* name, int64_t least)
      : name_(name), elements_(readArray<double>(env, value, name, napi_float64_array)) {
    if (elements_.length < least) throw BadCall(name_ + ": expected more numbers.");
  }

  int64_t length() const { return elements_.length; }

  int64_t integer(int64_t index, int64_t least, int64_t most) const {
    const double number = elements_.data[index];
    // Not a number fails too.
    if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) ||
        number != std::floor(number)) {
      throw BadCall(name_ + "[" + std::to_string(index) + "]: expected an integer from " +
                    std::to_string(least) + " to " + std::to_string(most) + ".");
    }
    return static_cast<int64_t>(number);
  }

  void set(int64_t index, int64_t number) { elements_.data[index] = static_cast<double>(number); }

 private:
  std::string name_;
  Elements<double> elements_;
};

constexpr int64_t kMostCount = int64_t{1} << 53;

// Where the numbers of a place stand; src/wire/native/addon.ts has the same.
enum ReadPlace {
  kPosition,
  kCount,
  kRowStart,
  kExpected,
  kLevel,
  kRank,
  kSizes,
  kEntries = kSizes + kMostAxes
};
constexpr int64_t kReadPlaceLength = kEntries + kMostAxes;
enum WritePlace { kElement, kEnd, kAt };
constexpr int64_t kWritePlaceLength = kAt + 1;

Place readPlace(const Numbers& numbers, const uint8_t* bytes, int64_t end, int64_t room) {
  Place place{};
  place.position = bytes + numbers.integer(kPosition, 0, end);
  place.count = numbers.integer(kCount, 0, room);
  place.rowStart = numbers.integer(kRowStart, 0, place.count);
  place.expected = static_cast<Expected>(numbers.integer(kExpected, 0, static_cast<int>(Expected::kNext)));
  place.rank = static_cast<int>(numbers.integer(kRank, 0, kMostAxes));
  const int deepest = place.rank == 0 ? kMostAxes : place.rank;
  place.level =
      static_cast<int>(numbers.integer(kLevel, place.expected == Expected::kValue ? 0 : 1, deepest));
  for (int axis = 0; axis < kMostAxes; axis++) {
    place.sizes[axis] = numbers.integer(kSizes + axis, -1, kMostCount);
    place.entries[axis] = numbers.integer(kEntries + axis, 0, kMostCount);
  }
  return place;
}

void writePlace(const Place& place, const uint8_t* bytes, Numbers& numbers) {
  numbers.set(kPosition, place.position - bytes);
  numbers.set(kCount, place.count);
  numbers.set(kRowStart, place.rowStart);
  numbers.set(kExpected, static_cast<int>(place.expected));
  numbers.set(kLevel, place.level);
  numbers.set(kRank, place.rank);
  for (int axis = 0; axis < kMostAxes; axis++) {
    numbers.set(kSizes + axis, place.sizes[axis]);
    numbers.set(kEntries + axis, place.entries[axis]);
  }
}

napi_value toNumber(napi_env env, int64_t number) {
  napi_value value;
  napi_create_int64(env, number, &value);
  return value;
}

napi_value callReadElements(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[4];
    readArguments(env, info, arguments);
    const auto bytes = readBytes(env, arguments[0]);
    int64_t end = 0;
    if (napi_get_value_int64(env, arguments[1], &end) != napi_ok || end < 0 || end > bytes.length) {
      throw BadCall("end: expected a place in the bytes.");
    }
    Numbers numbers(env, arguments[2], "place", kReadPlaceLength);
    const Array out = readArray(env, arguments[3], "elements");
    Place place = readPlace(numbers, bytes.data, end, out.length);
    const auto read = [&](auto* elements) {
      return readElements(place, bytes.data + end, elements, out.length);
    };
    Stop stop;
    if (out.type == napi_float32_array) {
      stop = read(static_cast<float*>(out.data));
    } else if (out.type == napi_float64_array) {
      stop = read(static_cast<double*>(out.data));
    } else if (out.type == napi_uint8_array) {
      stop = read(static_cast<uint8_t*>(out.data));
    } else {
      throw BadCall("elements: expected float32, float64 or bytes.");
    }
    writePlace(place, bytes.data, numbers);
    return toNumber(env, static_cast<int>(stop));
  });
}

/// Sizes of arrays that hold `count` elements.
int readSizes(const Numbers& numbers, int64_t count, int64_t (&sizes)[kMostAxes]) {
  if (numbers.length() > kMostAxes) throw BadCall("sizes: expected at most 4.");
  int64_t product = 1;
  for (int64_t axis = 0; axis < numbers.length(); axis++) {
    sizes[axis] = numbers.integer(axis, 1, count / product);
    product *= sizes[axis];
  }
  if (numbers.length() > 0 && product != count)
    throw BadCall("sizes: expected as many elements as there are.");
  return static_cast<int>(numbers.length());
}

napi_value callWriteElements(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[4];
    readArguments(env, info, arguments);
    const Array in = readArray(env, arguments[0], "elements");
    Numbers numbers(env, arguments[2], "place", kWritePlaceLength);
    const auto bytes = readBytes(env, arguments[3]);
    const int64_t count = numbers.integer(kEnd, 0, in.length);
    int64_t sizes[kMostAxes] = {};
    const int axes = readSizes(Numbers(env, arguments[1], "sizes", 0), count, sizes);
    int64_t element = numbers.integer(kElement, 0, count);
    uint8_t* at = bytes.data + numbers.integer(kAt, 0, bytes.length);
    const auto write = [&](auto* elements) {
      using Element = std::remove_cv_t<std::remove_pointer_t<decltype(elements)>>;
      return writeElements<Element>({elements, sizes, axes, count}, element, at, bytes.data + bytes.length);
    };
    WriteStop stop;
    if (in.type == napi_float32_array) {
      stop = write(static_cast<const float*>(in.data));
    } else if (in.type == napi_float64_array) {
      stop = write(static_cast<const double*>(in.data));
    } else {
      throw BadCall("elements: expected float32 or float64.");
    }
    numbers.set(kElement, element);
    numbers.set(kAt, at - bytes.data);
    return toNumber(env, static_cast<int>(stop));
  });
}

napi_value callFirstNotFinite(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[1];
    readArguments(env, info, arguments);
    const Array array = readArray(env, arguments[0], "elements");
    if (array.type == napi_float32_array) {
      return toNumber(env, firstNotFinite(static_cast<const float*>(array.data), array.length));
    }
    if (array.type == napi_float64_array) {
      return toNumber(env, firstNotFinite(static_cast<const double*>(array.data), array.length));
    }
    throw BadCall("elements: expected float32 or float64.");
  });
}

napi_value callCopyBytes(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value arguments[3];
    readArguments(env, info, arguments);
    const auto from = readBytes(env, arguments[0]);
    const auto to = readBytes(env, arguments[1]);
    int64_t at = 0;
    if (napi_get_value_int64(env, arguments[2], &at) != napi_ok || at < 0 || from.length > to.length - at) {
      throw BadCall("at: expected a place with room for the bytes.");
    }
    if (from.length > 0) std::memmove(to.data + at, from.data, from.length);
    return nullptr;
  });
}

napi_value initialise(napi_env env, napi_value exports) {
  const auto addFunction = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  addFunction("readElements", callReadElements);
  addFunction("writeElements", callWriteElements);
  addFunction("firstNotFinite", callFirstNotFinite);
  addFunction("copyBytes", callCopyBytes);
  return exports;
}

/// Whether this processor runs what the loops are compiled for (scripts/build-native.mjs).
bool isSupported() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
  return true;
#endif
}

}  // namespace
}  // namespace attention::codec

NAPI_MODULE_INIT() {
  if (attention::codec::isSupported()) return attention::codec::initialise(env, exports);
  napi_throw_error(env, "ERR_CODEC_NATIVE", "this processor has no AVX2 or BMI2");
  return nullptr;
}
