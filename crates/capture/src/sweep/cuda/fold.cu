// What lies between the products of a block of vision attention: softmax, A⊙∇A, its positive part folded into the row, and the gradient
// of the scores. Attention and that gradient leave as sums of three bfloat16 numbers.
//
// H heads, T goals, b query rows, N keys. One block of threads takes ROWS query rows of one head and one goal, one after the other, and
// holds a row in registers.
//
// Defined by whoever compiles it: N, a multiple of 4; ROWS; THREADS of a block, a power of two from 64 to 1024.

#define QUADS (N / 4)
// Quads of a row that a thread holds.
#define HELD ((QUADS + THREADS - 1) / THREADS)
#define LOWEST __int_as_float(0xff800000) // minus infinity

typedef unsigned short bfloat16;
typedef long long int64;

struct Sum {
  __device__ float operator()(float x, float y) const { return x + y; }
};

struct Greatest {
  __device__ float operator()(float x, float y) const { return fmaxf(x, y); }
};

// Of the numbers of all threads, for all of them.
template <typename Of>
__device__ float over_threads(float x, float *of_warps, Of of) {
  for (int lane = 16; lane > 0; lane /= 2) x = of(x, __shfl_xor_sync(~0u, x, lane));
  __syncthreads(); // what was there before has been read
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = x;
  __syncthreads();
  x = of_warps[threadIdx.x % (THREADS / 32)];
  for (int lane = THREADS / 64; lane > 0; lane /= 2) x = of(x, __shfl_xor_sync(~0u, x, lane));
  return x;
}

template <typename Of>
__device__ float of_quad(float4 x, Of of) {
  return of(of(x.x, x.y), of(x.z, x.w));
}

// The upper eight bits of precision of x, which loses them.
__device__ bfloat16 upper_part(float &x) {
  unsigned bits = __float_as_uint(x) & 0xffff0000u;
  x -= __uint_as_float(bits);
  return bits >> 16;
}

// Writes x as the sum of three bfloat16 numbers, without rounding: 24 bits of precision are three times eight.
__device__ void write_parts(float4 x, bfloat16 *to, int quad) {
  for (int part = 0; part < 3; part++) {
    ushort4 parts = make_ushort4(upper_part(x.x), upper_part(x.y), upper_part(x.z), upper_part(x.w));
    reinterpret_cast<ushort4 *>(to + part * (int64)N)[quad] = parts;
  }
}

// The positive part; what is not a number stays so.
__device__ float positive(float x) { return x < 0 ? 0 : x; }

extern "C" __global__ void __launch_bounds__(THREADS) fold(
    const float *scores,     // [H, b, N], before they are scaled
    const float *dattention, // [H, T, b, N]
    const float *weights,    // [T, b], what the row has at the queries
    float scale,
    bfloat16 *attention, // [H, b, 3, N]
    bfloat16 *dscores,   // [H, T, b, 3, N]
    float *folded,       // [gridDim.x, H, T, N], the weighted sums of positive parts
    int b) {
  __shared__ float of_warps[THREADS / 32];
  const int64 head = blockIdx.y, goal = blockIdx.z, goals = gridDim.z;
  float4 sums[HELD];
#pragma unroll
  for (int i = 0; i < HELD; i++) sums[i] = make_float4(0, 0, 0, 0);

  const int end = min(b, (int)(blockIdx.x + 1) * ROWS);
  for (int row = blockIdx.x * ROWS; row < end; row++) {
    const int64 of_head = head * b + row, of_goal = (head * goals + goal) * b + row;
    const float4 *from_scores = reinterpret_cast<const float4 *>(scores + of_head * N);
    const float4 *from_dattention = reinterpret_cast<const float4 *>(dattention + of_goal * N);
    float4 a[HELD], w[HELD];
    float greatest = LOWEST;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
      const int quad = i * THREADS + threadIdx.x;
      const bool is_key = quad < QUADS;
      a[i] = is_key ? from_scores[quad] : make_float4(LOWEST, LOWEST, LOWEST, LOWEST);
      w[i] = is_key ? from_dattention[quad] : make_float4(0, 0, 0, 0);
      greatest = fmaxf(greatest, of_quad(a[i], Greatest()));
    }
    greatest = over_threads(greatest, of_warps, Greatest());

    float sum = 0;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
      a[i].x = expf((a[i].x - greatest) * scale);
      a[i].y = expf((a[i].y - greatest) * scale);
      a[i].z = expf((a[i].z - greatest) * scale);
      a[i].w = expf((a[i].w - greatest) * scale);
      sum += of_quad(a[i], Sum());
    }
    const float share = 1 / over_threads(sum, of_warps, Sum());

    // A, and A⊙∇A.
    float total = 0;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
      a[i].x *= share, a[i].y *= share, a[i].z *= share, a[i].w *= share;
      w[i].x *= a[i].x, w[i].y *= a[i].y, w[i].z *= a[i].z, w[i].w *= a[i].w;
      total += of_quad(w[i], Sum());
    }
    total = over_threads(total, of_warps, Sum());

    const float weight = weights[goal * b + row];
#pragma unroll
    for (int i = 0; i < HELD; i++) {
      const int quad = i * THREADS + threadIdx.x;
      if (quad >= QUADS) continue;
      sums[i].x += weight * positive(w[i].x);
      sums[i].y += weight * positive(w[i].y);
      sums[i].z += weight * positive(w[i].z);
      sums[i].w += weight * positive(w[i].w);
      // dS = A⊙∇A − A·Σ_j(A⊙∇A)
      const float4 d = make_float4(w[i].x - a[i].x * total, w[i].y - a[i].y * total,
                                   w[i].z - a[i].z * total, w[i].w - a[i].w * total);
      write_parts(d, dscores + of_goal * 3 * N, quad);
      if (goal == 0) write_parts(a[i], attention + of_head * 3 * N, quad);
    }
  }

  const int64 of_grid = (blockIdx.x * (int64)gridDim.y + head) * goals + goal;
#pragma unroll
  for (int i = 0; i < HELD; i++) {
    const int quad = i * THREADS + threadIdx.x;
    if (quad < QUADS) reinterpret_cast<float4 *>(folded + of_grid * N)[quad] = sums[i];
  }
}
