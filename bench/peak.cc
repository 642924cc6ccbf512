// What this machine can do at most, as one line of JSON: peak <threads> <bytes to read>.
// gflops: independent float32 fused multiply-adds on the widest vectors that the compiler was told of.
// gflops128: the same on vectors of 128 bits, which are all that WebAssembly has.
// gbps: reading so many bytes over and over, split over the threads.
// With "turns" behind them: for each line of input, a number, the bytes are read so many times, and a line
// says how many milliseconds one time took.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
template <int kCount>
using VectorOf [[gnu::vector_size(kCount * sizeof(float))]] = float;
typedef VectorOf<kLanes> Vector;

constexpr int kRounds = 7;

using Clock = std::chrono::steady_clock;

static double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs `work(thread)` on all threads at once; the seconds of the slowest.
template <class Work>
static double together(int threads, Work work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; thread++) {
    others.emplace_back([&, thread] {
      ready++;
      while (!go) {
      }
      work(thread);
    });
  }
  while (ready < threads - 1) {
  }
  const auto start = Clock::now();
  go = true;
  work(0);
  for (auto& other : others) other.join();
  return secondsSince(start);
}

template <class Numbers, int kChains>
static float multiplyAdd(long steps) {
  Numbers sums[kChains];
#pragma GCC unroll 24
  for (int chain = 0; chain < kChains; chain++) sums[chain] = Numbers{} + float(chain);
  Numbers factor = Numbers{} + 0.999f, addend = Numbers{} + 0.001f;
  // Unknown to the compiler, so that it computes.
  asm volatile("" : "+m"(factor), "+m"(addend));
  for (long step = 0; step < steps; step++) {
#pragma GCC unroll 24
    for (int chain = 0; chain < kChains; chain++) sums[chain] = sums[chain] * factor + addend;
  }
  Numbers sum{};
#pragma GCC unroll 24
  for (int chain = 0; chain < kChains; chain++) sum += sums[chain];
  return sum[0];
}

static float readAll(const Vector* data, size_t vectors) {
  Vector sums[8] = {};
  for (size_t at = 0; at + 8 <= vectors; at += 8) {
#pragma GCC unroll 8
    for (int chain = 0; chain < 8; chain++) sums[chain] += data[at + chain];
  }
  Vector sum{};
  for (const auto& part : sums) sum += part;
  return sum[0];
}

static std::atomic<float> sink{0};

// Bytes that are read by so many threads, a part each.
struct Bytes {
  const int threads;
  const size_t vectors;
  Vector* const data;

  Bytes(int threads, size_t bytes)
      : threads(threads),
        vectors(bytes / sizeof(Vector) / threads),
        data(static_cast<Vector*>(std::aligned_alloc(4096, (bytes / 4096 + 1) * 4096))) {
    if (data == nullptr) std::abort();
    std::memset(data, 0, size());
  }
  size_t size() const { return vectors * threads * sizeof(Vector); }

  // Seconds of one time.
  double read(int times) const {
    return together(threads,
                    [&](int thread) {
                      for (int time = 0; time < times; time++)
                        sink = readAll(data + thread * vectors, vectors);
                    }) /
           times;
  }
};

// 10^9 operations a second on vectors of so many lanes, the best of some rounds.
template <int kCount>
static double multiplyAddRate(int threads) {
  // Enough chains to hide the latency of two or four units, few enough for the registers.
  constexpr int kChains = kCount == 16 ? 24 : 12;
  constexpr long kSteps = 2000000;
  double best = 0;
  for (int round = 0; round < kRounds; round++) {
    const double seconds =
        together(threads, [](int) { sink = multiplyAdd<VectorOf<kCount>, kChains>(kSteps); });
    best = std::max(best, 2.0 * kCount * kChains * kSteps * threads / seconds / 1e9);
  }
  return best;
}

static int takeTurns(const Bytes& bytes) {
  for (int times; std::scanf("%d", &times) == 1;) {
    std::printf("%.6f\n", bytes.read(std::max(1, times)) * 1e3);
    std::fflush(stdout);
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int threads = std::atoi(argv[1]);
  const Bytes bytes(threads, std::atol(argv[2]));
  if (argc > 3) return takeTurns(bytes);

  const double gflops = multiplyAddRate<kLanes>(threads);
  const double gflops128 = multiplyAddRate<4>(threads);
  std::vector<double> rates;
  for (int round = 0; round < 4 * kRounds; round++) rates.push_back(bytes.size() / bytes.read(1) / 1e9);
  std::sort(rates.begin(), rates.end());
  std::printf("{\"gflops\": %.1f, \"gflops128\": %.1f, \"gbps\": %.1f, \"usualGbps\": %.1f}\n", gflops,
              gflops128, rates.back(), rates[rates.size() / 2]);
}
