/** @file The CUDA C text of all device kernels that are ours. It is compiled for the card when a library is opened. */

/** Parts of a concatenation that one launch takes; a longer list takes several launches. */
export const partsPerLaunch = 64;

/** Threads of a block, a power of two. The sums in shared memory have room for this many. */
export const threadsPerBlock = 256;

/**
 * Every kernel takes one structure by value, whose fields stand in order of size: pointers first, then 32-bit numbers.
 * Names that end in 1 handle an element at a time, in 4 four: planes of a multiple of four elements, at addresses that
 * 16 divides. Sums are deterministic: partial sums of blocks are added by the last block of a channel, in fixed order.
 */
export const kernelSource = `
#define PARTS ${partsPerLaunch}
#define THREADS ${threadsPerBlock}

typedef unsigned int u32;
typedef unsigned long long u64;

/* Elements that are read and written at once. */
template <int V> struct __align__(4 * V) Pack { float v[V]; };

/* Planes [N, C, area]; area counts packs. */
struct StatisticsArguments {
  const float *x; double *partials; u32 *counters; float *mean; float *variance;
  u32 samples; u32 channels; u32 area;
};
struct NormalizerArguments {
  const float *variance; const float *gamma; float *scale; float *deviation;
  u32 channels; float epsilon;
};
/* Part i holds the channels first[i] .. first[i + 1] - 1 of the whole. */
struct AffineArguments {
  const float *scale; const float *shift; const float *mean; float *z; const float *x[PARTS];
  u32 samples; u32 channels; u32 area; u32 relu; u32 parts; u32 first[PARTS + 1];
};
struct AffineGradArguments {
  const float *dz; const float *scale; const float *shift; const float *mean;
  float *dscale; float *dshift; double *partials; u32 *counters;
  const float *s[PARTS]; const float *x[PARTS]; float *g[PARTS];
  u32 samples; u32 channels; u32 area; u32 relu; u32 parts; u32 first[PARTS + 1]; u32 accumulates[PARTS];
};
struct CenterArguments {
  const float *g; const float *x; const float *mean; const float *variance; float *dx;
  float *coefficients; double *partials; u32 *counters;
  u32 samples; u32 channels; u32 area; float epsilon; float count;
};
struct ReluGradArguments {
  const float *dy; const float *y; float *dx;
  u32 count;
};
/* Rows of the whole have row packs; part i is the length[i] packs from offset[i] on of each row. */
struct MoveArguments {
  float *whole; float *part[PARTS];
  u32 rows; u32 row; u32 offset[PARTS]; u32 length[PARTS];
};
struct PoolArguments {
  const float *dy; const float *x; float *dx;
  int planes; int height; int width; int rows; int columns;
  int kernelHeight; int kernelWidth; int strideHeight; int strideWidth; int top; int left; int countsPadding;
};

/* The sums of a and b over the block's threads, for thread 0. All threads call it. */
__device__ void sumOverBlock(double &a, double &b) {
  __shared__ double left[THREADS];
  __shared__ double right[THREADS];
  __syncthreads();
  left[threadIdx.x] = a;
  right[threadIdx.x] = b;
  __syncthreads();
  for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      left[threadIdx.x] += left[threadIdx.x + half];
      right[threadIdx.x] += right[threadIdx.x + half];
    }
    __syncthreads();
  }
  a = left[0];
  b = right[0];
}

/*
 * The sums of a and b over all blocks with this blockIdx.y. True for one thread of one of them, which then has the sums.
 * Counters are 0 before a launch and after it.
 */
__device__ bool sumOverBlocks(double &a, double &b, double *partials, u32 *counters) {
  sumOverBlock(a, b);
  const u32 blocks = gridDim.x;
  if (blocks == 1) return threadIdx.x == 0;
  __shared__ u32 last;
  volatile double *all = partials + 2 * (u64)blockIdx.y * blocks;
  if (threadIdx.x == 0) {
    all[2 * blockIdx.x] = a;
    all[2 * blockIdx.x + 1] = b;
    __threadfence();
    last = atomicAdd(&counters[blockIdx.y], 1u) == blocks - 1 ? 1 : 0;
  }
  __syncthreads();
  if (last == 0) return false;
  __threadfence();
  a = 0;
  b = 0;
  for (u32 block = threadIdx.x; block < blocks; block += blockDim.x) {
    a += all[2 * block];
    b += all[2 * block + 1];
  }
  sumOverBlock(a, b);
  if (threadIdx.x == 0) counters[blockIdx.y] = 0;
  return threadIdx.x == 0;
}

/*
 * Mean and biased variance. Sums are of x - pivot, where the pivot is the mean of eight elements of the channel: so a
 * mean far from zero costs no digits.
 */
template <int V> __device__ void batchStatistics(const StatisticsArguments &a) {
  const u32 channel = blockIdx.y;
  const u32 total = a.samples * a.area;
  const Pack<V> *x = (const Pack<V> *)a.x;
  float pivot = 0;
  for (u32 i = 0; i < 8; i++) {
    const u64 plane = (u64)((u64)i * a.samples / 8) * a.channels + channel;
    pivot += a.x[plane * a.area * V + (u64)i * a.area * V / 8];
  }
  pivot /= 8;
  float sums[V], squares[V];
  for (int k = 0; k < V; k++) { sums[k] = 0; squares[k] = 0; }
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 n = e / a.area;
    const Pack<V> own = x[((u64)n * a.channels + channel) * a.area + (e - n * a.area)];
    for (int k = 0; k < V; k++) {
      const float d = own.v[k] - pivot;
      sums[k] += d;
      squares[k] = fmaf(d, d, squares[k]);
    }
  }
  double sum = 0, square = 0;
  for (int k = 0; k < V; k++) { sum += sums[k]; square += squares[k]; }
  if (sumOverBlocks(sum, square, a.partials, a.counters)) {
    const double count = (double)total * V;
    const double mean = sum / count;
    const double variance = square / count - mean * mean;
    a.mean[channel] = (float)(pivot + mean);
    /* Not a number stays one. */
    a.variance[channel] = variance < 0 ? 0.0f : (float)variance;
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) batchStatistics1(StatisticsArguments a) { batchStatistics<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) batchStatistics4(StatisticsArguments a) { batchStatistics<4>(a); }

extern "C" __global__ void __launch_bounds__(THREADS) normalizer1(NormalizerArguments a) {
  const u32 channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= a.channels) return;
  const float deviation = sqrtf(a.variance[channel] + a.epsilon);
  a.scale[channel] = a.gamma[channel] / deviation;
  a.deviation[channel] = deviation;
}

/* The part that holds a channel of the whole. */
__device__ u32 partOf(const u32 *first, u32 parts, u32 channel) {
  u32 low = 0, high = parts;
  while (high - low > 1) {
    const u32 middle = (low + high) / 2;
    if (first[middle] <= channel) low = middle; else high = middle;
  }
  return low;
}

/* A block works on one channel. blockIdx.y counts from the first channel of the launch's parts. */
template <int V> __device__ void affineRelu(const AffineArguments &a) {
  const u32 channel = a.first[0] + blockIdx.y;
  const u32 part = partOf(a.first, a.parts, channel);
  const u32 within = channel - a.first[part];
  const u32 width = a.first[part + 1] - a.first[part];
  const float scale = a.scale[channel], shift = a.shift[channel], mean = a.mean[channel];
  const Pack<V> *x = (const Pack<V> *)a.x[part];
  Pack<V> *z = (Pack<V> *)a.z;
  const u32 total = a.samples * a.area;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 n = e / a.area, p = e - n * a.area;
    Pack<V> own = x[((u64)n * width + within) * a.area + p];
    for (int k = 0; k < V; k++) {
      const float value = fmaf(scale, own.v[k] - mean, shift);
      own.v[k] = a.relu && value < 0 ? 0.0f : value;
    }
    z[((u64)n * a.channels + channel) * a.area + p] = own;
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) affineRelu1(const __grid_constant__ AffineArguments a) { affineRelu<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) affineRelu4(const __grid_constant__ AffineArguments a) { affineRelu<4>(a); }

template <int V> __device__ void affineReluGrad(const AffineGradArguments &a) {
  const u32 channel = a.first[0] + blockIdx.y;
  const u32 part = partOf(a.first, a.parts, channel);
  const u32 within = channel - a.first[part];
  const u32 width = a.first[part + 1] - a.first[part];
  const bool accumulates = a.accumulates[part] != 0;
  const float scale = a.scale[channel], shift = a.shift[channel], mean = a.mean[channel];
  const Pack<V> *dz = (const Pack<V> *)a.dz;
  const Pack<V> *s = (const Pack<V> *)a.s[part];
  const Pack<V> *x = (const Pack<V> *)a.x[part];
  Pack<V> *g = (Pack<V> *)a.g[part];
  const u32 total = a.samples * a.area;
  float scaleSums[V], shiftSums[V];
  for (int k = 0; k < V; k++) { scaleSums[k] = 0; shiftSums[k] = 0; }
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 n = e / a.area, p = e - n * a.area;
    const u64 place = ((u64)n * width + within) * a.area + p;
    const Pack<V> own = x[place];
    const Pack<V> gradient = dz[((u64)n * a.channels + channel) * a.area + p];
    Pack<V> sum;
    for (int k = 0; k < V; k++) sum.v[k] = 0;
    if (accumulates) sum = s[place];
    for (int k = 0; k < V; k++) {
      const float centered = own.v[k] - mean;
      /* The same rounding as in affineRelu, so the same elements pass. */
      const bool passes = !a.relu || fmaf(scale, centered, shift) > 0;
      const float passed = passes ? gradient.v[k] : 0.0f;
      scaleSums[k] = fmaf(passed, centered, scaleSums[k]);
      shiftSums[k] += passed;
      sum.v[k] = fmaf(scale, passed, sum.v[k]);
    }
    g[place] = sum;
  }
  double scaleSum = 0, shiftSum = 0;
  for (int k = 0; k < V; k++) { scaleSum += scaleSums[k]; shiftSum += shiftSums[k]; }
  if (sumOverBlocks(scaleSum, shiftSum, a.partials, a.counters)) {
    a.dscale[channel] = (float)scaleSum;
    a.dshift[channel] = (float)shiftSum;
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) affineReluGrad1(const __grid_constant__ AffineGradArguments a) { affineReluGrad<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) affineReluGrad4(const __grid_constant__ AffineGradArguments a) { affineReluGrad<4>(a); }

/* The mean of the gradient and its slope along x, two numbers a channel. */
template <int V> __device__ void centerSums(const CenterArguments &a) {
  const u32 channel = blockIdx.y;
  const float mean = a.mean[channel];
  const Pack<V> *g = (const Pack<V> *)a.g;
  const Pack<V> *x = (const Pack<V> *)a.x;
  const u32 total = a.samples * a.area;
  float sums[V], products[V];
  for (int k = 0; k < V; k++) { sums[k] = 0; products[k] = 0; }
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 n = e / a.area;
    const u64 place = ((u64)n * a.channels + channel) * a.area + (e - n * a.area);
    const Pack<V> gradient = g[place];
    const Pack<V> own = x[place];
    for (int k = 0; k < V; k++) {
      sums[k] += gradient.v[k];
      products[k] = fmaf(gradient.v[k], own.v[k] - mean, products[k]);
    }
  }
  double sum = 0, product = 0;
  for (int k = 0; k < V; k++) { sum += sums[k]; product += products[k]; }
  if (sumOverBlocks(sum, product, a.partials, a.counters)) {
    a.coefficients[2 * channel] = (float)(sum / a.count);
    a.coefficients[2 * channel + 1] = (float)(product / a.count / ((double)a.variance[channel] + a.epsilon));
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) centerSums1(CenterArguments a) { centerSums<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) centerSums4(CenterArguments a) { centerSums<4>(a); }

template <int V> __device__ void centerApply(const CenterArguments &a) {
  const u32 channel = blockIdx.y;
  const float mean = a.mean[channel];
  const float constant = a.coefficients[2 * channel];
  const float slope = a.coefficients[2 * channel + 1];
  const Pack<V> *g = (const Pack<V> *)a.g;
  const Pack<V> *x = (const Pack<V> *)a.x;
  Pack<V> *dx = (Pack<V> *)a.dx;
  const u32 total = a.samples * a.area;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 n = e / a.area;
    const u64 place = ((u64)n * a.channels + channel) * a.area + (e - n * a.area);
    Pack<V> gradient = g[place];
    const Pack<V> own = x[place];
    for (int k = 0; k < V; k++) gradient.v[k] = gradient.v[k] - constant - (own.v[k] - mean) * slope;
    dx[place] = gradient;
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) centerApply1(CenterArguments a) { centerApply<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) centerApply4(CenterArguments a) { centerApply<4>(a); }

template <int V> __device__ void reluGrad(const ReluGradArguments &a) {
  const Pack<V> *dy = (const Pack<V> *)a.dy;
  const Pack<V> *y = (const Pack<V> *)a.y;
  Pack<V> *dx = (Pack<V> *)a.dx;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < a.count; e += gridDim.x * blockDim.x) {
    Pack<V> gradient = dy[e];
    const Pack<V> own = y[e];
    for (int k = 0; k < V; k++) gradient.v[k] = own.v[k] > 0 ? gradient.v[k] : 0.0f;
    dx[e] = gradient;
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) reluGrad1(ReluGradArguments a) { reluGrad<1>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) reluGrad4(ReluGradArguments a) { reluGrad<4>(a); }

/* blockIdx.y is the part. */
template <int V, bool JOINS> __device__ void move(const MoveArguments &a) {
  Pack<V> *whole = (Pack<V> *)a.whole + a.offset[blockIdx.y];
  Pack<V> *part = (Pack<V> *)a.part[blockIdx.y];
  const u32 length = a.length[blockIdx.y];
  const u32 total = a.rows * length;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 row = e / length;
    const u64 place = (u64)row * a.row + (e - row * length);
    if (JOINS) whole[place] = part[e]; else part[e] = whole[place];
  }
}
extern "C" __global__ void __launch_bounds__(THREADS) join1(const __grid_constant__ MoveArguments a) { move<1, true>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) join4(const __grid_constant__ MoveArguments a) { move<4, true>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) cut1(const __grid_constant__ MoveArguments a) { move<1, false>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) cut4(const __grid_constant__ MoveArguments a) { move<4, false>(a); }

/* The windows, first .. last, along one axis that cover a position (counted from the padded border). */
__device__ int firstWindow(int position, int kernel, int stride) {
  return position < kernel ? 0 : (position - kernel) / stride + 1;
}
__device__ int lastWindow(int position, int stride, int windows) {
  const int last = position / stride;
  return last < windows ? last : windows - 1;
}

/* A thread works on an element of the image: it adds up its shares of the windows that cover it. */
extern "C" __global__ void __launch_bounds__(THREADS) averagePoolGrad1(PoolArguments a) {
  const u32 area = (u32)a.height * a.width;
  const u32 total = (u32)a.planes * area;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 plane = e / area;
    const int i = (int)(e - plane * area) / a.width;
    const int j = (int)(e - plane * area) - i * a.width;
    const float *dy = a.dy + (u64)plane * a.rows * a.columns;
    const int lastRow = lastWindow(i + a.top, a.strideHeight, a.rows);
    const int lastColumn = lastWindow(j + a.left, a.strideWidth, a.columns);
    float sum = 0;
    for (int row = firstWindow(i + a.top, a.kernelHeight, a.strideHeight); row <= lastRow; row++) {
      const int y = row * a.strideHeight - a.top;
      const int height = min(y + a.kernelHeight, a.height) - max(y, 0);
      for (int column = firstWindow(j + a.left, a.kernelWidth, a.strideWidth); column <= lastColumn; column++) {
        const int x = column * a.strideWidth - a.left;
        const int width = min(x + a.kernelWidth, a.width) - max(x, 0);
        const int count = a.countsPadding ? a.kernelHeight * a.kernelWidth : height * width;
        sum += dy[row * a.columns + column] / (float)count;
      }
    }
    a.dx[e] = sum;
  }
}

/* Likewise: it takes the gradient of each window of which it is the first largest element (or the last NaN). */
extern "C" __global__ void __launch_bounds__(THREADS) maxPoolGrad1(PoolArguments a) {
  const u32 area = (u32)a.height * a.width;
  const u32 total = (u32)a.planes * area;
  for (u32 e = blockIdx.x * blockDim.x + threadIdx.x; e < total; e += gridDim.x * blockDim.x) {
    const u32 plane = e / area;
    const int own = (int)(e - plane * area);
    const int i = own / a.width;
    const int j = own - i * a.width;
    const float *dy = a.dy + (u64)plane * a.rows * a.columns;
    const float *image = a.x + (u64)plane * area;
    const int lastRow = lastWindow(i + a.top, a.strideHeight, a.rows);
    const int lastColumn = lastWindow(j + a.left, a.strideWidth, a.columns);
    float sum = 0;
    for (int row = firstWindow(i + a.top, a.kernelHeight, a.strideHeight); row <= lastRow; row++) {
      for (int column = firstWindow(j + a.left, a.kernelWidth, a.strideWidth); column <= lastColumn; column++) {
        const int top = max(row * a.strideHeight - a.top, 0);
        const int left = max(column * a.strideWidth - a.left, 0);
        const int bottom = min(row * a.strideHeight - a.top + a.kernelHeight, a.height);
        const int right = min(column * a.strideWidth - a.left + a.kernelWidth, a.width);
        int winner = -1;
        float largest = 0;
        for (int y = top; y < bottom; y++) {
          for (int x = left; x < right; x++) {
            const float value = image[y * a.width + x];
            if (winner >= 0 && !(value > largest) && value == value) continue;
            winner = y * a.width + x;
            largest = value;
          }
        }
        if (winner == own) sum += dy[row * a.columns + column];
      }
    }
    a.dx[e] = sum;
  }
}
`;

/** Names of all kernels in the text. */
export const kernelNames: readonly string[] = [...kernelSource.matchAll(/__launch_bounds__\(THREADS\) (\w+)\(/g)].map(
  ([, name]) => name as string,
);
