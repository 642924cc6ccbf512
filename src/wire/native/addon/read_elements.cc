#include "read_elements.h"

#include <cstring>

#include "rounding.h"

namespace attention::codec {

namespace {

inline bool isWhitespace(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

inline const uint8_t* afterWhitespace(const uint8_t* p, const uint8_t* end) {
  while (p < end && isWhitespace(*p)) p++;
  return p;
}

/// Reads one element at `p`: the place after it, which is before `end`, or null and why it stops.
template <typename Float>
inline const uint8_t* readElement(const uint8_t* p, const uint8_t* end, Float& element, Stop& stop) {
  Decimal decimal;
  const uint8_t* after = scanDecimal(p, end, decimal);
  typename Format<Float>::Bits bits;
  const Rounded rounded = after == nullptr ? Rounded::kInfinite : round<Float>(decimal, bits);
  if (rounded != Rounded::kFinite) {
    stop = rounded == Rounded::kUndecided ? Stop::kUndecided : Stop::kFault;
    return nullptr;
  }
  bits |= static_cast<decltype(bits)>(decimal.isNegative) << (sizeof bits * 8 - 1);
  std::memcpy(&element, &bits, sizeof element);
  return after;
}

inline const uint8_t* readElement(const uint8_t* p, const uint8_t* end, uint8_t& element, Stop& stop) {
  stop = Stop::kFault;
  if (end - p <= 5) return nullptr;
  element = std::memcmp(p, "true", 4) == 0;
  if (element != 0) return p + 4;
  return std::memcmp(p, "false", 5) == 0 ? p + 5 : nullptr;
}

template <typename Element>
class Reader {
 public:
  Reader(Place& place, const uint8_t* end, Element* out, int64_t room)
      : place_(place), end_(end), out_(out), room_(room) {}

  Stop read() {
    for (;;) {
      const uint8_t* p = place_.position = afterWhitespace(place_.position, end_);
      if (p == end_) return Stop::kFault;
      if (place_.expected == Expected::kElement) {
        const Stop stop = readRow();
        if (stop != Stop::kDone) return stop;
      } else if (*p == '[' && place_.expected == Expected::kValue) {
        if (!open()) return Stop::kFault;
      } else if (*p == ']') {
        if (!close()) return Stop::kFault;
        if (place_.level == 0) return Stop::kDone;
      } else if (place_.expected == Expected::kValue) {
        if (!isInRow()) return Stop::kFault;
        place_.expected = Expected::kElement;
      } else if (*p == ',') {
        if (!next()) return Stop::kFault;
      } else {
        return Stop::kFault;
      }
    }
  }

 private:
  /// Whether the array that the position is in is one of elements. The first way down to an element tells the
  /// rank.
  bool isInRow() {
    if (place_.rank == 0) place_.rank = place_.level;
    return place_.level == place_.rank && place_.level > 0;
  }

  bool open() {
    if (place_.level == (place_.rank == 0 ? kMostAxes : place_.rank)) return false;
    place_.entries[place_.level++] = 0;
    place_.rowStart = place_.count;
    place_.position++;
    return true;
  }

  bool close() {
    const bool isRow = place_.expected == Expected::kValue ? isInRow() : place_.level == place_.rank;
    if (place_.expected == Expected::kValue && !isRow) return false;
    const int level = --place_.level;
    const int64_t size = isRow ? place_.count - place_.rowStart : place_.entries[level];
    if (place_.sizes[level] < 0) place_.sizes[level] = size;
    if (level > 0) place_.entries[level - 1]++;
    place_.expected = Expected::kNext;
    place_.position++;
    return place_.sizes[level] == size;
  }

  /// Steps over a comma.
  bool next() {
    const uint8_t* const p = place_.position = afterWhitespace(place_.position + 1, end_);
    if (place_.level == place_.rank) {
      place_.expected = Expected::kElement;
      return true;
    }
    place_.expected = Expected::kValue;
    return p < end_ && *p == '[';
  }

  /// Reads elements and the commas between them.
  Stop readRow() {
    const uint8_t* p = place_.position;
    int64_t count = place_.count;
    Stop stop = Stop::kFull;
    while (count < room_) {
      Element element;
      const uint8_t* const after = readElement(p, end_, element, stop);
      if (after == nullptr) break;
      out_[count++] = element;
      p = after;
      if (*p != ',') {
        place_.expected = Expected::kNext;
        stop = Stop::kDone;
        break;
      }
      stop = Stop::kFull;
      p++;
      if (p < end_ && *p <= ' ') p = afterWhitespace(p, end_);
    }
    place_.position = p;
    place_.count = count;
    return stop;
  }

  Place& place_;
  const uint8_t* const end_;
  Element* const out_;
  const int64_t room_;
};

}  // namespace

template <typename Element>
Stop readElements(Place& place, const uint8_t* end, Element* out, int64_t room) {
  return Reader<Element>(place, end, out, room).read();
}

template Stop readElements<float>(Place&, const uint8_t*, float*, int64_t);
template Stop readElements<double>(Place&, const uint8_t*, double*, int64_t);
template Stop readElements<uint8_t>(Place&, const uint8_t*, uint8_t*, int64_t);

}  // namespace attention::codec
