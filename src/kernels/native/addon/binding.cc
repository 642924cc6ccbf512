// The Node-API face of the kernels: instructionSets(), open(numbers, arrays, set), run(opened, part, batch,
// head, from, to) and runAll(opened, steps, helpers).
#include <node_api.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "bounds.h"
#include "helpers.h"
#include "instruction_sets.h"
#include "reader.h"
#include "steps.h"

namespace attention {

namespace {

/// A call that has been read and checked, with the kernels that compute it. The JavaScript side keeps the
/// arrays alive.
struct Opened {
  const Kernels* kernels;
  Call call;
};

/// No machine has more processors, and no call more stages.
constexpr size_t kMostHelpers = 4096, kMostStages = 64;

/// Memory comes in lines of so many bytes.
constexpr uintptr_t kLineBytes = 64;

constexpr napi_type_tag kOpenedTag = {0x6f1d5c0a9b3e4d27, 0xa5b0c3d4e1f20718};

const char* const kPartNames[] = {
#define X(name) #name,
    ATTENTION_PARTS(X)
#undef X
};
constexpr size_t kPartCount = sizeof kPartNames / sizeof kPartNames[0];

Part partOf(const Kernels& kernels, size_t index) {
  const Part parts[] = {
#define X(name) kernels.name,
      ATTENTION_PARTS(X)
#undef X
  };
  return parts[index];
}

/// Runs `body`, turning what it throws into a JavaScript exception.
template <typename Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const BadCall& error) {
    napi_throw_range_error(env, "ERR_ATTENTION_CALL", error.what());
  } catch (const std::exception& error) {
    napi_throw_error(env, "ERR_ATTENTION_NATIVE", error.what());
  }
  return nullptr;
}

template <size_t kCount>
void readArguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  size_t count = kCount;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  if (count != kCount) throw BadCall("Expected " + std::to_string(kCount) + " arguments.");
}

size_t readCount(napi_env env, napi_value value, const char* name) {
  int64_t number;
  if (napi_get_value_int64(env, value, &number) != napi_ok || number < 0) {
    throw BadCall(std::string(name) + ": expected a whole number from 0.");
  }
  return static_cast<size_t>(number);
}

napi_value listInstructionSets(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    napi_value list;
    napi_create_array(env, &list);
    uint32_t index = 0;
    for (const InstructionSet& set : instructionSets()) {
      napi_value entry, name, precision, panel, words, rows;
      napi_create_object(env, &entry);
      napi_create_string_utf8(env, set.name, NAPI_AUTO_LENGTH, &name);
      napi_create_string_utf8(env, set.precision, NAPI_AUTO_LENGTH, &precision);
      napi_create_uint32(env, static_cast<uint32_t>(set.kernels->panel), &panel);
      napi_set_named_property(env, entry, "name", name);
      napi_set_named_property(env, entry, "precision", precision);
      napi_set_named_property(env, entry, "panel", panel);
      // Of float32 as it is, numbers are words and rows, and no group is filled up.
      const size_t group = set.operands->arePlain() ? 1 : kGroup;
      napi_value count, block;
      napi_create_uint32(env, static_cast<uint32_t>(group), &count);
      napi_create_uint32(env, static_cast<uint32_t>(set.operands->words(group)), &words);
      napi_create_uint32(env, static_cast<uint32_t>(set.operands->weightRows(group)), &rows);
      napi_create_uint32(env, static_cast<uint32_t>(set.operands->blockPanels), &block);
      napi_set_named_property(env, entry, "blockPanels", block);
      napi_set_named_property(env, entry, "group", count);
      napi_set_named_property(env, entry, "groupWords", words);
      napi_set_named_property(env, entry, "groupWeightRows", rows);
      napi_set_element(env, list, index++, entry);
    }
    return list;
  });
}

napi_value open(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[3];
    readArguments(env, info, arguments);
    char name[32] = {};
    size_t length;
    if (napi_get_value_string_utf8(env, arguments[2], name, sizeof name, &length) != napi_ok) {
      throw BadCall("Expected the name of an instruction set.");
    }
    const std::vector<InstructionSet>& sets = instructionSets();
    const auto set =
        std::find_if(sets.begin(), sets.end(), [&](const auto& set) { return !std::strcmp(set.name, name); });
    if (set == sets.end()) {
      throw BadCall(std::string("This machine does not run the instruction set ") + name + ".");
    }
    const Reader job(env, arguments[0], arguments[1]);
    auto opened =
        std::make_unique<Opened>(Opened{set->kernels, readCall(job, set->kernels->panel, *set->operands)});
    napi_value external;
    const auto destroy = [](napi_env, void* data, void*) { delete static_cast<Opened*>(data); };
    if (napi_create_external(env, opened.get(), destroy, nullptr, &external) != napi_ok)
      throw BadCall("No memory.");
    opened.release();
    napi_type_tag_object(env, external, &kOpenedTag);
    return external;
  });
}

const Opened& readOpened(napi_env env, napi_value value) {
  bool isOpened = false;
  void* data = nullptr;
  if (napi_check_object_type_tag(env, value, &kOpenedTag, &isOpened) != napi_ok || !isOpened ||
      napi_get_value_external(env, value, &data) != napi_ok) {
    throw BadCall("Expected what open() returned.");
  }
  return *static_cast<const Opened*>(data);
}

Bounds boundsOf(const Opened& opened, size_t part) {
  return boundsOf(opened.call, opened.kernels->panel, static_cast<PartId>(part));
}

[[noreturn]] void refuseRows(size_t part) {
  throw BadCall(std::string(kPartNames[part]) + ": there are no such rows.");
}

napi_value run(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value arguments[6];
    readArguments(env, info, arguments);
    const Opened& opened = readOpened(env, arguments[0]);
    const size_t part = readCount(env, arguments[1], "part");
    if (part >= kPartCount) throw BadCall("part: there is no such part.");
    const size_t batch = readCount(env, arguments[2], "batch");
    const size_t head = readCount(env, arguments[3], "head");
    const size_t from = readCount(env, arguments[4], "from");
    const size_t to = readCount(env, arguments[5], "to");
    const Bounds bounds = boundsOf(opened, part);
    if (batch >= bounds.batch || head >= bounds.heads || from > to || to > bounds.rows ||
        from % bounds.unit != 0) {
      refuseRows(part);
    }
    const Multiplying multiplying(*opened.call.operands);
    partOf(*opened.kernels, part)(opened.call, batch, head, from, to);
    return nullptr;
  });
}

/// Reads steps of six numbers each: the part, its stage, its samples, heads and rows, and the rows of a tile.
/// Those without a tile are left out. They are the thread's until it reads others.
const std::vector<Step>& readSteps(const Opened& opened, Reader& numbers) {
  static thread_local std::vector<Step> steps;
  steps.clear();
  while (!numbers.isAtEnd()) {
    const size_t part = numbers.count("part");
    if (part >= kPartCount) throw BadCall("part: there is no such part.");
    const size_t stage = numbers.count("stage");
    if (stage > kMostStages || (!steps.empty() && stage < steps.back().stage)) {
      throw BadCall("stage: expected small numbers in order.");
    }
    const size_t batch = numbers.count("batch");
    const size_t heads = numbers.count("heads");
    const size_t rows = numbers.count("rows");
    const size_t tileRows = numbers.count("tileRows");
    const Bounds bounds = boundsOf(opened, part);
    const bool isWhole = tileRows > 0 && (tileRows % bounds.unit == 0 || tileRows >= rows);
    if (batch > bounds.batch || heads > bounds.heads || rows > bounds.rows || !isWhole) refuseRows(part);
    const Step step{partOf(*opened.kernels, part), stage, {batch, heads, rows}, tileRows};
    if (step.tiles() > 0) steps.push_back(step);
  }
  return steps;
}

/// The steps, with up to so many helpers; see together().
napi_value runAll(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value arguments[3];
    readArguments(env, info, arguments);
    const Opened& opened = readOpened(env, arguments[0]);
    Reader numbers(env, arguments[1]);
    const size_t helpers = readCount(env, arguments[2], "helpers");
    if (helpers > kMostHelpers) throw BadCall("helpers: there are no so many.");
    const std::vector<Step>& steps = readSteps(opened, numbers);
    if (helpers == 0) {
      computeAlone(opened.call, steps);
      return nullptr;
    }
    RunningSteps running(opened.call, steps);
    together(helpers, [&running] { running.takePart(); });
    running.rethrow();
    return nullptr;
  });
}

/// Where in its line of memory an array begins.
napi_value placeInLine(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[1];
    readArguments(env, info, arguments);
    napi_typedarray_type type;
    size_t length;
    void* data;
    if (napi_get_typedarray_info(env, arguments[0], &type, &length, &data, nullptr, nullptr) != napi_ok)
      throw BadCall("Expected a typed array.");
    napi_value place;
    napi_create_uint32(env, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data) % kLineBytes), &place);
    return place;
  });
}

napi_value initialise(napi_env env, napi_value exports) {
  const auto addFunction = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  addFunction("instructionSets", listInstructionSets);
  addFunction("open", open);
  addFunction("run", run);
  addFunction("runAll", runAll);
  addFunction("placeInLine", placeInLine);
  napi_value parts;
  napi_create_array(env, &parts);
  for (uint32_t i = 0; i < kPartCount; i++) {
    napi_value name;
    napi_create_string_utf8(env, kPartNames[i], NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, parts, i, name);
  }
  napi_set_named_property(env, exports, "parts", parts);
  return exports;
}

}  // namespace
}  // namespace attention

NAPI_MODULE_INIT() {
  // First by the main thread: it loads the kernels before it starts workers.
  attention::startHelpers();
  return attention::initialise(env, exports);
}
