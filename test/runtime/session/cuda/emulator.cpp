// CUDA's driver, NVRTC and cuDNN, as far as densec uses them, on the CPU: the kernels' own text is compiled with g++.
// Threads of a block are coroutines that change at each barrier; everything happens at once, streams mean nothing.
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

struct Index { unsigned x = 0, y = 0, z = 0; };
static Index threadIdx, blockIdx, gridDim, blockDim;

#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(n)
#define __grid_constant__
#define __align__(n) alignas(n)
using std::max;
using std::min;
static inline void __threadfence() {}
static unsigned atomicAdd(unsigned* at, unsigned more) {
  const unsigned old = *at;
  *at = old + more;
  return old;
}

// Each thread is a coroutine for good: it runs a kernel, says so, and waits for the next. Jumps change between them,
// which takes no call of the system.
static const unsigned most = 1024;
static jmp_buf scheduler, points[most];
static bool started[most];
static void pause() {
  if (!_setjmp(points[threadIdx.x])) _longjmp(scheduler, 1);
}
static void __syncthreads() { pause(); }

#include KERNELS

typedef void (*Run)(const void*);
template <class P, void (*K)(P)> static void call(const void* parameters) {
  P copy;
  memcpy(&copy, parameters, sizeof copy);
  K(copy);
}
struct Kernel { const char* name; Run run; };
#define WIDE(name, P) {#name "1", call<P, name##1>}, {#name "4", call<P, name##4>}
static const Kernel kernels[] = {
    WIDE(batchStatistics, StatisticsArguments), WIDE(affineRelu, AffineArguments),
    WIDE(affineReluGrad, AffineGradArguments),  WIDE(centerSums, CenterArguments),
    WIDE(centerApply, CenterArguments),         WIDE(reluGrad, ReluGradArguments),
    WIDE(join, MoveArguments),                  WIDE(cut, MoveArguments),
    {"normalizer1", call<NormalizerArguments, normalizer1>},
    {"averagePoolGrad1", call<PoolArguments, averagePoolGrad1>},
    {"maxPoolGrad1", call<PoolArguments, maxPoolGrad1>},
};

static Run current;
static const void* currentParameters;
static bool done[most];
static void threadMain() {
  for (;;) {
    current(currentParameters);
    done[threadIdx.x] = true;
    pause();
  }
}
static void switchTo(unsigned thread) {
  static const size_t stack = 64 << 10;
  static char* const stacks = (char*)malloc(most * stack);
  static ucontext_t context;
  threadIdx = {thread, 0, 0};
  if (_setjmp(scheduler)) return;
  if (started[thread]) _longjmp(points[thread], 1);
  started[thread] = true;
  getcontext(&context);
  context.uc_stack.ss_sp = stacks + thread * stack;
  context.uc_stack.ss_size = stack;
  context.uc_link = nullptr;
  makecontext(&context, threadMain, 0);
  setcontext(&context);
}

static long launched = 0, allocations = 0, live = 0, waits = 0;

#define EXPORT extern "C" __attribute__((visibility("default")))
typedef uint64_t Handle;

EXPORT void emulator_counts(int64_t* counts) {
  counts[0] = launched; counts[1] = allocations; counts[2] = live; counts[3] = waits;
}

EXPORT int cuInit(unsigned) { return 0; }
EXPORT int cuGetErrorString(int status, const char** text) {
  *text = status == 2 ? "out of memory" : "something is wrong";
  return 0;
}
EXPORT int cuDeviceGetCount(int* count) { *count = 1; return 0; }
EXPORT int cuDeviceGet(int* device, int) { *device = 0; return 0; }
EXPORT int cuDeviceGetName(char* name, int size, int) { snprintf(name, size, "emulated"); return 0; }
EXPORT int cuDeviceGetAttribute(int* value, int which, int) {
  *value = which == 16 ? 4 : which == 75 ? 9 : 0;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRetain(Handle* context, int) { *context = 1; return 0; }
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
EXPORT int cuCtxSetCurrent(Handle context) { return context == 1 ? 0 : 201; }
EXPORT int cuCtxSynchronize() { waits++; return 0; }
EXPORT int cuModuleLoadDataEx(Handle* module, const void* code, unsigned, void*, void*) {
  *module = 7;
  return strcmp((const char*)code, "code") ? 200 : 0;
}
EXPORT int cuModuleGetFunction(Handle* function, Handle module, const char* name) {
  for (const Kernel& kernel : kernels)
    if (module == 7 && !strcmp(kernel.name, name)) { *function = (Handle)&kernel; return 0; }
  return 500;
}
EXPORT int cuLaunchKernel(Handle function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned threads,
                          unsigned blockY, unsigned blockZ, unsigned shared, Handle, void** parameters, void** extra) {
  if (!gridX || !gridY || gridY > 65535 || gridZ != 1 || threads > 1024 || blockY != 1 || blockZ != 1 || shared || extra) return 1;
  launched++;
  current = ((const Kernel*)function)->run;
  currentParameters = parameters[0];
  gridDim = {gridX, gridY, 1};
  blockDim = {threads, 1, 1};
  for (unsigned y = 0; y < gridY; y++)
    for (unsigned x = 0; x < gridX; x++) {
      // Blocks end in another order than they begin in, as on a card.
      blockIdx = {gridX - 1 - x, gridY % 7 == 0 ? gridY - 1 - y : (y * 7 + 3) % gridY, 0};
      std::fill_n(done, threads, false);
      // Each thread up to its next barrier, in turn, until all have ended.
      while (std::count(done, done + threads, false) > 0)
        for (unsigned t = 0; t < threads; t++)
          if (!done[t]) switchTo(t);
    }
  return 0;
}
EXPORT int cuMemAlloc_v2(Handle* address, size_t bytes) {
  if (bytes > (1ull << 32)) return 2;
  allocations++; live++;
  *address = (Handle)aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset((void*)*address, 0xff, bytes);
  return 0;
}
EXPORT int cuMemFree_v2(Handle address) { live--; free((void*)address); return 0; }
EXPORT int cuMemsetD32_v2(Handle address, unsigned value, size_t count) {
  std::fill_n((unsigned*)address, count, value);
  return 0;
}
EXPORT int cuMemcpyHtoD_v2(Handle to, const void* from, size_t bytes) { memcpy((void*)to, from, bytes); return 0; }
EXPORT int cuMemcpyDtoH_v2(void* to, Handle from, size_t bytes) { memcpy(to, (void*)from, bytes); return 0; }
EXPORT int cuStreamCreate(Handle* stream, unsigned) { *stream = 5; return 0; }
EXPORT int cuStreamSynchronize(Handle) { waits++; return 0; }
EXPORT int cuEventCreate(Handle* event, unsigned) { *event = 9; return 0; }
EXPORT int cuEventDestroy_v2(Handle) { return 0; }
EXPORT int cuEventRecord(Handle, Handle) { return 0; }
EXPORT int cuEventSynchronize(Handle) { waits++; return 0; }

EXPORT int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 0; return 0; }
EXPORT int nvrtcGetNumSupportedArchs(int* count) { *count = 2; return 0; }
EXPORT int nvrtcGetSupportedArchs(int* list) { list[0] = 80; list[1] = 90; return 0; }
EXPORT int nvrtcCreateProgram(Handle* program, const char*, const char*, int, void*, void*) { *program = 3; return 0; }
EXPORT int nvrtcDestroyProgram(Handle* program) { return *program == 3 ? 0 : 1; }
EXPORT int nvrtcCompileProgram(Handle, int count, const char** options) {
  return count > 0 && !strcmp(options[0], "--gpu-architecture=sm_90") ? 0 : 6;
}
EXPORT int nvrtcGetCUBINSize(Handle, size_t* size) { *size = 5; return 0; }
EXPORT int nvrtcGetCUBIN(Handle, char* code) { memcpy(code, "code", 5); return 0; }
EXPORT int nvrtcGetProgramLogSize(Handle, size_t* size) { *size = 4; return 0; }
EXPORT int nvrtcGetProgramLog(Handle, char* log) { memcpy(log, "log", 4); return 0; }
EXPORT const char* nvrtcGetErrorString(int) { return "an error"; }

// cuDNN: descriptors hold the extents; algorithm 1 is right and takes a workspace, 2 takes more and is right, too, 0 is
// not deterministic, 3 refuses to run.
struct Descriptor { int v[8] = {0}; int group = 1, math = 0; };
struct Suggestion { int algorithm, status; float time; size_t memory; int deterministic, math, reserved[3]; };
static int ran[4];
static int lastAlgorithm = -1;
EXPORT void emulator_algorithms(int* counts) { memcpy(counts, ran, sizeof ran); counts[4] = lastAlgorithm; }
// Milliseconds by the algorithm that ran last: 2 is the fastest.
EXPORT int cuEventElapsedTime(float* milliseconds, Handle, Handle) {
  *milliseconds = lastAlgorithm == 2 ? 1.0f : 2.0f;
  return 0;
}
EXPORT int cudnnCreate(Handle* handle) { *handle = 11; return 0; }
EXPORT int cudnnDestroy(Handle) { return 0; }
EXPORT int cudnnSetStream(Handle handle, Handle) { return handle == 11 ? 0 : 1; }
EXPORT const char* cudnnGetErrorString(int) { return "CUDNN_STATUS_EMULATED"; }
EXPORT void cudnnGetLastErrorString(char* text, size_t size) { snprintf(text, size, "because"); }
static int make(Handle* handle) { *handle = (Handle) new Descriptor; live++; return 0; }
static int drop(Handle handle) { delete (Descriptor*)handle; live--; return 0; }
EXPORT int cudnnCreateTensorDescriptor(Handle* h) { return make(h); }
EXPORT int cudnnCreateFilterDescriptor(Handle* h) { return make(h); }
EXPORT int cudnnCreateConvolutionDescriptor(Handle* h) { return make(h); }
EXPORT int cudnnDestroyTensorDescriptor(Handle h) { return drop(h); }
EXPORT int cudnnDestroyFilterDescriptor(Handle h) { return drop(h); }
EXPORT int cudnnDestroyConvolutionDescriptor(Handle h) { return drop(h); }
static int set(Handle h, std::initializer_list<int> values) {
  std::copy(values.begin(), values.end(), ((Descriptor*)h)->v);
  return 0;
}
EXPORT int cudnnSetTensor4dDescriptor(Handle h, int format, int type, int n, int c, int y, int x) {
  return format || type ? 3 : set(h, {n, c, y, x});
}
EXPORT int cudnnSetFilter4dDescriptor(Handle h, int type, int format, int k, int c, int y, int x) {
  return format || type ? 3 : set(h, {k, c, y, x});
}
EXPORT int cudnnSetConvolution2dDescriptor(Handle h, int padH, int padW, int u, int v, int dilationH, int dilationW, int mode, int type) {
  return dilationH != 1 || dilationW != 1 || mode != 1 || type ? 3 : set(h, {padH, padW, u, v});
}
EXPORT int cudnnSetConvolutionGroupCount(Handle h, int groups) { ((Descriptor*)h)->group = groups; return 0; }
EXPORT int cudnnSetConvolutionMathType(Handle h, int math) { ((Descriptor*)h)->math = math; return 0; }
static const size_t workspaces[4] = {0, 1000, 4000, 100};
static int suggest(int most, int* count, Suggestion* list) {
  // The third rounds to float16 and is no candidate.
  const int algorithms[] = {0, 1, 2, 2, 3};
  *count = 5;
  for (int i = 0; i < 5 && i < most; i++)
    list[i] = {algorithms[i], 0, 1.0f, workspaces[algorithms[i]], algorithms[i] != 0, i == 2 ? 2 : 1, {0, 0, 0}};
  return sizeof(Suggestion) == 48 ? 0 : 4;
}
EXPORT int cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle, Handle, Handle, Handle, Handle, int most, int* count, Suggestion* list) { return suggest(most, count, list); }
EXPORT int cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle, Handle, Handle, Handle, Handle, int most, int* count, Suggestion* list) { return suggest(most, count, list); }
EXPORT int cudnnGetConvolutionBackwardDataWorkspaceSize(Handle, Handle, Handle, Handle, Handle, int algorithm, size_t* size) { *size = workspaces[algorithm]; return 0; }
EXPORT int cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle, Handle, Handle, Handle, Handle, int algorithm, size_t* size) { *size = workspaces[algorithm]; return 0; }
// Visits every product x * w -> y of the convolution, by the descriptors.
template <class Visit> static void products(const Descriptor& x, const Descriptor& w, const Descriptor& y, const Descriptor& c, Visit visit) {
  const int perGroup = x.v[1] / c.group, filters = w.v[0] / c.group;
  for (int n = 0; n < x.v[0]; n++) for (int o = 0; o < w.v[0]; o++) for (int i = 0; i < perGroup; i++)
    for (int row = 0; row < y.v[2]; row++) for (int column = 0; column < y.v[3]; column++)
      for (int a = 0; a < w.v[2]; a++) for (int b = 0; b < w.v[3]; b++) {
        const int h = row * c.v[2] + a - c.v[0], k = column * c.v[3] + b - c.v[1];
        if (h < 0 || k < 0 || h >= x.v[2] || k >= x.v[3]) continue;
        visit((((size_t)n * x.v[1] + o / filters * perGroup + i) * x.v[2] + h) * x.v[3] + k,
              (((size_t)o * perGroup + i) * w.v[2] + a) * w.v[3] + b,
              (((size_t)n * w.v[0] + o) * y.v[2] + row) * y.v[3] + column);
      }
}
static int begin(int algorithm, void* workspace, size_t bytes, const float* alpha, const float* beta) {
  if (algorithm == 3) return 3000;
  if (*alpha != 1 || *beta != 0 || bytes < workspaces[algorithm] || (bytes && !workspace)) return 3;
  if (bytes) memset(workspace, 0xff, bytes);
  ran[algorithm]++;
  lastAlgorithm = algorithm;
  launched++;
  return 0;
}
EXPORT int cudnnConvolutionBackwardData(Handle, const float* alpha, Descriptor* w, const float* weight, Descriptor* y, const float* dy, Descriptor* c, int algorithm, void* workspace, size_t bytes, const float* beta, Descriptor* x, float* dx) {
  if (const int status = begin(algorithm, workspace, bytes, alpha, beta)) return status;
  std::vector<double> sum((size_t)x->v[0] * x->v[1] * x->v[2] * x->v[3]);
  products(*x, *w, *y, *c, [&](size_t atX, size_t atW, size_t atY) { sum[atX] += (double)weight[atW] * dy[atY]; });
  std::copy(sum.begin(), sum.end(), dx);
  return 0;
}
EXPORT int cudnnConvolutionBackwardFilter(Handle, const float* alpha, Descriptor* x, const float* image, Descriptor* y, const float* dy, Descriptor* c, int algorithm, void* workspace, size_t bytes, const float* beta, Descriptor* w, float* dw) {
  if (const int status = begin(algorithm, workspace, bytes, alpha, beta)) return status;
  std::vector<double> sum((size_t)w->v[0] * w->v[1] * w->v[2] * w->v[3]);
  products(*x, *w, *y, *c, [&](size_t atX, size_t atW, size_t atY) { sum[atW] += (double)image[atX] * dy[atY]; });
  std::copy(sum.begin(), sum.end(), dw);
  return 0;
}
