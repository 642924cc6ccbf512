// The Node-API face of the kernels: instructionSets(), open(job, set) and run(opened, part, batch, head,
// from, to).
#include <node_api.h>

#include <cstring>
#include <memory>

#include "reader.h"

namespace attention {

// Those that scripts/build-native.mjs found a compiler for.
#if defined(HAS_KERNELS_AVX2)
namespace avx2 {
extern const Kernels kernels;
}
#endif
#if defined(HAS_KERNELS_AVX512)
namespace avx512 {
extern const Kernels kernels;
}
#endif
#if defined(HAS_OPERANDS_AVX512BF16)
namespace avx512bf16 {
extern const Operands bfloat16;
}
#endif
#if defined(HAS_KERNELS_NEON)
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

/// Kernels for one instruction set and one kind of operands.
struct InstructionSet {
  const char* name;
  const char* precision;
  const Kernels* kernels;
  const Operands* operands;
};

/// What this machine runs of them, fastest first.
std::vector<InstructionSet> instructionSets() {
  std::vector<InstructionSet> float32, bfloat16;
  [[maybe_unused]] const auto add = [&](const char* name, const char* roundingName, const Kernels& kernels) {
    float32.push_back({name, "float32", &kernels, kernels.float32});
    bfloat16.push_back({roundingName, "bfloat16", &kernels, kernels.bfloat16});
  };
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#if defined(HAS_KERNELS_AVX512)
  const bool hasAvx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#if defined(HAS_OPERANDS_AVX512BF16)
  if (hasAvx512 && __builtin_cpu_supports("avx512bf16")) {
    bfloat16.push_back({"avx512bf16", "bfloat16", &avx512::kernels, &avx512bf16::bfloat16});
  }
#endif
  if (hasAvx512) add("avx512", "avx512-bfloat16", avx512::kernels);
#endif
#if defined(HAS_KERNELS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    add("avx2", "avx2-bfloat16", avx2::kernels);
#endif
#if defined(HAS_KERNELS_NEON)
  add("neon", "neon-bfloat16", neon::kernels);
#endif
  float32.insert(float32.end(), bfloat16.begin(), bfloat16.end());
  return float32;
}

/// A call that has been read and checked, with the kernels that compute it. The JavaScript side keeps the
/// arrays alive.
struct Opened {
  const Kernels* kernels;
  Call call;
};

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

/// Samples, heads and rows that a part may be asked for; 0 heads where the call has no such part.
struct Bounds {
  size_t batch, heads, rows;
};

Bounds boundsOf(const Opened& opened, const char* part) {
  const Call& call = opened.call;
  const size_t panel = opened.kernels->panel;
  const auto is = [part](const char* name) { return std::strcmp(part, name) == 0; };
  const Bounds none{0, 0, 0};
  const auto tokens = [&](const Source& source) {
    return source.isProjected ? Bounds{call.batch, 1, source.tokens.rows} : none;
  };
  const auto weight = [&](const Linear& linear, bool there) {
    return there ? Bounds{1, 1, linear.columns()} : none;
  };
  const auto projection = [&](const Source& source) {
    return source.isProjected
               ? Bounds{call.batch, panelsOf(source.linear.columns(), panel), source.tokens.rows}
               : none;
  };
  if (is("packQueryTokens")) return tokens(call.query);
  if (is("packKeyTokens")) return tokens(call.key);
  if (is("packValueTokens")) return tokens(call.value);
  if (is("packQueryWeight")) return weight(call.query.linear, call.query.isProjected);
  if (is("packKeyWeight")) return weight(call.key.linear, call.key.isProjected);
  if (is("packValueWeight")) return weight(call.value.linear, call.value.isProjected);
  if (is("packOutputWeight")) return weight(call.outputProjection, call.hasOutputProjection);
  if (is("projectQuery")) return projection(call.query);
  if (is("projectKey")) return projection(call.key);
  if (is("projectValue")) return projection(call.value);
  // Few queries read the keys where they lie; all else needs them in panels.
  const bool hasPanels = static_cast<bool>(call.keyPanels);
  const bool readsInPlace = call.operands->perWord == 1;
  if (is("packKeys")) return hasPanels ? Bounds{call.batch, call.kvHeads, call.allKeys()} : none;
  if (is("attend")) return hasPanels ? Bounds{call.batch, call.heads, call.queries} : none;
  if (is("attendFew")) return readsInPlace ? Bounds{call.batch, call.kvHeads, call.queries} : none;
  if (is("projectOutput")) {
    return call.hasOutputProjection ? Bounds{call.batch, panelsOf(call.outputWidth, panel), call.queries}
                                    : none;
  }
  if (is("packGradients") || is("gradQuery")) {
    return call.hasGradients() ? Bounds{call.batch, call.heads, call.queries} : none;
  }
  if (is("gradKeyValue"))
    return call.hasGradients() ? Bounds{call.batch, call.kvHeads, call.allKeys()} : none;
  if (is("writeLogits") || is("writeFewLogits")) {
    const bool canWrite = call.logits && (is("writeFewLogits") ? readsInPlace : hasPanels);
    return canWrite ? Bounds{call.batch, call.heads, call.queries} : none;
  }
  if (is("writeWeights") || is("writeFewWeights")) {
    const bool canWrite =
        (call.weights || call.topIndices) && (is("writeFewWeights") ? readsInPlace : hasPanels);
    if (!canWrite) return none;
    return {call.batch, call.reduce == Reduce::kNone ? call.selectedHeads.size() : 1,
            call.selectedQueries.size()};
  }
  return none;
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
      napi_value entry, name, precision, panel;
      napi_create_object(env, &entry);
      napi_create_string_utf8(env, set.name, NAPI_AUTO_LENGTH, &name);
      napi_create_string_utf8(env, set.precision, NAPI_AUTO_LENGTH, &precision);
      napi_create_uint32(env, static_cast<uint32_t>(set.kernels->panel), &panel);
      napi_set_named_property(env, entry, "name", name);
      napi_set_named_property(env, entry, "precision", precision);
      napi_set_named_property(env, entry, "panel", panel);
      napi_set_element(env, list, index++, entry);
    }
    return list;
  });
}

napi_value open(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value arguments[2];
    readArguments(env, info, arguments);
    char name[32] = {};
    size_t length;
    if (napi_get_value_string_utf8(env, arguments[1], name, sizeof name, &length) != napi_ok) {
      throw BadCall("Expected the name of an instruction set.");
    }
    for (const InstructionSet& set : instructionSets()) {
      if (std::strcmp(set.name, name) != 0) continue;
      const Reader job(env, arguments[0], "job");
      auto opened =
          std::make_unique<Opened>(Opened{set.kernels, readCall(job, set.kernels->panel, *set.operands)});
      napi_value external;
      const auto destroy = [](napi_env, void* data, void*) { delete static_cast<Opened*>(data); };
      if (napi_create_external(env, opened.get(), destroy, nullptr, &external) != napi_ok)
        throw BadCall("No memory.");
      opened.release();
      napi_type_tag_object(env, external, &kOpenedTag);
      return external;
    }
    throw BadCall(std::string("This machine does not run the instruction set ") + name + ".");
  });
}

napi_value run(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value arguments[6];
    readArguments(env, info, arguments);
    bool isOpened = false;
    void* data = nullptr;
    if (napi_check_object_type_tag(env, arguments[0], &kOpenedTag, &isOpened) != napi_ok || !isOpened ||
        napi_get_value_external(env, arguments[0], &data) != napi_ok) {
      throw BadCall("Expected what open() returned.");
    }
    const auto& opened = *static_cast<const Opened*>(data);
    const size_t part = readCount(env, arguments[1], "part");
    if (part >= kPartCount) throw BadCall("part: there is no such part.");
    const size_t batch = readCount(env, arguments[2], "batch");
    const size_t head = readCount(env, arguments[3], "head");
    const size_t from = readCount(env, arguments[4], "from");
    const size_t to = readCount(env, arguments[5], "to");
    const Bounds bounds = boundsOf(opened, kPartNames[part]);
    if (batch >= bounds.batch || head >= bounds.heads || from > to || to > bounds.rows ||
        from % opened.kernels->panel != 0) {
      throw BadCall(std::string(kPartNames[part]) + ": there are no such rows.");
    }
    partOf(*opened.kernels, part)(opened.call, batch, head, from, to);
    return nullptr;
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

NAPI_MODULE_INIT() { return attention::initialise(env, exports); }
