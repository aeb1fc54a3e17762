// @file A double of NVIDIA's NCCL: sums floats in the host's memory over processes of one host, and waits for ever for one
// that has ended, as NCCL does. Signatures as in nccl.h.

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {
constexpr int mostProcesses = 8;
constexpr size_t mostFloats = 1 << 16;

struct Shared {
  std::atomic<int> joined;
  // Ascends by one a process at each barrier.
  std::atomic<long> arrived;
  float values[mostProcesses][mostFloats];
};

struct Comm {
  Shared *shared;
  int size, rank;
  long barriers;
};

void barrier(Comm *comm) {
  comm->barriers++;
  comm->shared->arrived++;
  while (comm->shared->arrived < comm->barriers * comm->size) usleep(20);
}
}  // namespace

extern "C" {
struct Id { char internal[128]; };

const char *ncclGetErrorString(int code) { return code == 5 ? "invalid usage" : "unhandled system error"; }

int ncclGetUniqueId(Id *id) {
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/densec-nccl-double-%d", (int)getpid());
  // The last bytes show that all of it has come through.
  std::memcpy(id->internal + 120, "complete", 8);
  return 0;
}

int ncclCommInitRank(void **comm, int size, Id id, int rank) {
  if (std::memcmp(id.internal + 120, "complete", 8) != 0 || size > mostProcesses || rank >= size) return 5;
  int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return 2;
  void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return 2;
  auto *shared = static_cast<Shared *>(memory);
  shared->joined++;
  while (shared->joined < size) usleep(20);
  shm_unlink(id.internal);
  *comm = new Comm{shared, size, rank, 0};
  return 0;
}

int ncclAllReduce(const float *from, float *to, size_t count, int type, int op, Comm *comm, void *stream) {
  if (type != 7 || op != 0 || count > mostFloats || stream != (void *)42) return 5;
  std::memcpy(comm->shared->values[comm->rank], from, 4 * count);
  barrier(comm);
  for (size_t i = 0; i < count; i++) {
    float sum = 0;
    for (int rank = 0; rank < comm->size; rank++) sum += comm->shared->values[rank][i];
    to[i] = sum;
  }
  barrier(comm);
  return 0;
}

int ncclCommDestroy(Comm *comm) {
  delete comm;
  return 0;
}
}
