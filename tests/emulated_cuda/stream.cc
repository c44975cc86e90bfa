#include "tests/emulated_cuda/stream.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/emulated_cuda/memory.h"

using namespace emulated_cuda;

// What the runtime calls these.
struct CUgraph_st {
  struct Node {
    Work work;
    std::vector<std::size_t> after;  // nodes before it
    bool kernel = false;
  };
  std::vector<Node> nodes;
};
struct CUgraphExec_st : CUgraph_st {};

struct CUstream_st {
  struct Step {
    Work work;
    std::shared_ptr<bool> until;  // nothing, or what must be true before
  };
  std::deque<Step> steps;
  // While it records: the graph, and the nodes that the next one comes after.
  CUgraph_st* graph = nullptr;
  std::vector<std::size_t> tips;
};

struct CUevent_st {
  std::shared_ptr<bool> reached = std::make_shared<bool>(true);
  bool timed = false;
  // Of the last record, if that was into a graph.
  CUgraph_st* graph = nullptr;
  std::vector<std::size_t> tips;
};

namespace emulated_cuda {

namespace {

// The stream of calls that name none, first. It does not wait for others, nor
// they for it: all are made with cudaStreamNonBlocking.
std::vector<CUstream_st*>& Streams() {
  static CUstream_st unnamed;
  static std::vector<CUstream_st*> streams{&unnamed};
  return streams;
}

CUstream_st& Of(cudaStream_t stream) {
  return stream == nullptr ? *Streams().front() : *stream;
}

std::map<const void*, std::size_t>& Allowed() {
  static std::map<const void*, std::size_t> allowed;  // by kernel
  return allowed;
}

bool MayStep(const CUstream_st& stream) {
  return !stream.steps.empty() &&
         (stream.steps.front().until == nullptr || *stream.steps.front().until);
}

void StepOne(CUstream_st& stream) {
  const auto step = std::move(stream.steps.front());
  stream.steps.pop_front();
  if (step.work) step.work();
}

// Runs what there is, of any stream, until `done`.
template <typename Done>
void RunUntil(Done done) {
  while (!done()) {
    std::vector<CUstream_st*> able;
    for (CUstream_st* stream : Streams())
      if (MayStep(*stream)) able.push_back(stream);
    if (able.empty()) Fail("streams wait for each other for ever");
    StepOne(*able[Chance()() % able.size()]);
  }
}

void RunGraph(const CUgraph_st& graph) {
  std::vector<bool> done(graph.nodes.size());
  for (std::size_t ran = 0; ran < done.size(); ++ran) {
    std::vector<std::size_t> able;
    for (std::size_t n = 0; n < done.size(); ++n)
      if (!done[n] &&
          std::all_of(graph.nodes[n].after.begin(), graph.nodes[n].after.end(),
                      [&](std::size_t a) { return done[a]; }))
        able.push_back(n);
    const std::size_t chosen = able[Chance()() % able.size()];
    graph.nodes[chosen].work();
    done[chosen] = true;
  }
}

void Record(CUstream_st& stream, Work work, bool kernel) {
  stream.graph->nodes.push_back(
      {.work = std::move(work), .after = stream.tips, .kernel = kernel});
  stream.tips = {stream.graph->nodes.size() - 1};
}

// Nodes that are before those of `tips`, and these.
std::size_t CountBefore(const CUgraph_st& graph,
                        std::vector<std::size_t> tips) {
  std::set<std::size_t> seen;
  while (!tips.empty()) {
    const std::size_t n = tips.back();
    tips.pop_back();
    if (!seen.insert(n).second) continue;
    tips.insert(tips.end(), graph.nodes[n].after.begin(),
                graph.nodes[n].after.end());
  }
  return seen.size();
}

cudaError_t Copy(void* to, const void* from, std::size_t bytes,
                 cudaMemcpyKind kind, cudaStream_t stream, bool waits) {
  const bool up = kind == cudaMemcpyHostToDevice;
  if (!up && kind != cudaMemcpyDeviceToHost) return cudaErrorInvalidValue;
  if (!IsOnDevice(up ? to : from, bytes)) return cudaErrorInvalidValue;
  const Work work = [=] { std::memcpy(to, from, bytes); };
  if (IsPinned(up ? from : to, bytes) && !waits) return Enqueue(stream, work);
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  // Of memory that is not pinned: taken before the call ends, but not
  // necessarily there by then.
  if (up) {
    const auto* const first = static_cast<const std::byte*>(from);
    const std::vector<std::byte> taken(first, first + bytes);
    return Enqueue(stream,
                   [=] { std::memcpy(to, taken.data(), taken.size()); });
  }
  if (const auto error = Enqueue(stream, work); error != cudaSuccess)
    return error;
  return cudaStreamSynchronize(stream);
}

}  // namespace

bool Records() {
  return std::any_of(
      Streams().begin(), Streams().end(),
      [](const CUstream_st* stream) { return stream->graph != nullptr; });
}

cudaError_t Enqueue(cudaStream_t to, Work work) {
  CUstream_st& stream = Of(to);
  if (stream.graph != nullptr)
    Record(stream, std::move(work), false);
  else
    stream.steps.push_back({std::move(work), nullptr});
  return cudaSuccess;
}

cudaError_t EnqueueGrid(cudaStream_t to, const Configuration& configuration,
                        const void* kernel, Work body) {
  const auto [grid, block, shared, early, where] = configuration;
  const auto allowed = Allowed().find(kernel);
  const std::size_t most =
      allowed == Allowed().end() ? kSharedWithoutAsking : allowed->second;
  constexpr unsigned kMostBlocks = 65535;  // but in x
  constexpr unsigned kMostThreads = 1024, kMostDeep = 64;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffU ||
      grid.y > kMostBlocks || grid.z > kMostBlocks || block.x == 0 ||
      block.y == 0 || block.z == 0 || block.z > kMostDeep ||
      std::size_t{block.x} * block.y * block.z > kMostThreads || shared > most)
    return cudaErrorInvalidConfiguration;
  CUstream_st& stream = Of(to);
  Work work = [configuration, body] { RunGrid(configuration, body); };
  if (stream.graph == nullptr) {
    stream.steps.push_back({std::move(work), nullptr});
    return cudaSuccess;
  }
  // An early one awaits a kernel, and cannot await two things.
  if (early && (stream.tips.size() != 1 ||
                !stream.graph->nodes[stream.tips.front()].kernel)) {
    running = configuration;
    Fail("is early, but does not come after one kernel alone");
  }
  Record(stream, std::move(work), true);
  return cudaSuccess;
}

cudaError_t AllowShared(const void* kernel, std::size_t bytes) {
  if (bytes > kMostShared) return cudaErrorInvalidValue;
  Allowed()[kernel] = std::max(bytes, kSharedWithoutAsking);
  return cudaSuccess;
}

}  // namespace emulated_cuda

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream) {
  return Copy(to, from, bytes, kind, stream, false);
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes,
                       cudaMemcpyKind kind) {
  return Copy(to, from, bytes, kind, nullptr, true);
}
cudaError_t cudaMemsetAsync(void* at, int value, std::size_t bytes,
                            cudaStream_t stream) {
  if (!IsOnDevice(at, bytes)) return cudaErrorInvalidValue;
  return Enqueue(stream, [=] { std::memset(at, value, bytes); });
}
// The host does not wait for it either.
cudaError_t cudaMemset(void* at, int value, std::size_t bytes) {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  return cudaMemsetAsync(at, value, bytes, nullptr);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;
  *stream = new CUstream_st;
  Streams().push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  RunUntil([&] { return stream->steps.empty(); });
  std::erase(Streams(), stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  RunUntil([&] { return Of(stream).steps.empty(); });
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  RunUntil([] {
    return std::all_of(
        Streams().begin(), Streams().end(),
        [](const CUstream_st* stream) { return stream->steps.empty(); });
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t to) {
  CUstream_st& stream = Of(to);
  event->graph = stream.graph;
  event->tips = stream.tips;
  if (stream.graph != nullptr) return cudaSuccess;
  event->reached = std::make_shared<bool>(false);
  return Enqueue(to, [reached = event->reached] { *reached = true; });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t to, cudaEvent_t event, unsigned) {
  CUstream_st& stream = Of(to);
  if (event->graph == nullptr) {
    if (stream.graph != nullptr) return cudaErrorStreamCaptureIsolation;
    stream.steps.push_back({nullptr, event->reached});
    return cudaSuccess;
  }
  if (stream.graph == nullptr) {
    stream.graph = event->graph;
    stream.tips.clear();
  }
  for (const std::size_t tip : event->tips)
    if (std::find(stream.tips.begin(), stream.tips.end(), tip) ==
        stream.tips.end())
      stream.tips.push_back(tip);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (Records()) return cudaErrorStreamCaptureUnsupported;
  RunUntil([&] { return *event->reached; });
  return cudaSuccess;
}
// As it comes: whoever chooses by time must be right with either.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start,
                                 cudaEvent_t stop) {
  if (!start->timed || !stop->timed) return cudaErrorInvalidResourceHandle;
  *milliseconds = std::uniform_real_distribution<float>(0.1F, 1)(Chance());
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || Records()) return cudaErrorStreamCaptureUnsupported;
  stream->graph = new CUgraph_st;
  stream->tips.clear();
  return cudaSuccess;
}
// All must have come back to the stream where it began.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->graph;
  const bool joined =
      CountBefore(**graph, stream->tips) == (*graph)->nodes.size();
  for (CUstream_st* other : Streams())
    if (other->graph == *graph) {
      other->graph = nullptr;
      other->tips.clear();
    }
  if (joined) return cudaSuccess;
  delete *graph;
  *graph = nullptr;
  return cudaErrorStreamCaptureUnjoined;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long) {
  *exec = new CUgraphExec_st{*graph};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return Enqueue(stream, [exec] { RunGraph(*exec); });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
// It may be under way.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const auto error = cudaDeviceSynchronize();
  delete exec;
  return error;
}
