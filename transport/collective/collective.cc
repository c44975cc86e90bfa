#include "transport/collective/collective.h"

#include <utility>

namespace hearsay::transport::collective {

void Collectives::RunOnce(const std::string& name, const Terms& terms,
                          Buffer input, Milliseconds limit,
                          std::function<void(Result<Buffer>)> done) {
  const auto until = Clock::now() + limit;
  Form(name, terms, limit,
       [input = std::move(input), until,
        done = std::move(done)](Result<std::shared_ptr<Group>> formed) {
         if (!formed) return done(formed.error());
         const auto group = *formed;
         const auto left =
             std::chrono::ceil<Milliseconds>(until - Clock::now());
         group->Run(input, left, [group, done](Result<Buffer> result) {
           done(std::move(result));
         });
       });
}

void Collectives::AllReduce(const std::string& name,
                            std::vector<std::string> members, Buffer input,
                            std::size_t bytes, Milliseconds limit,
                            std::function<void(Result<Buffer>)> done) {
  Terms terms;
  terms.members = std::move(members);
  terms.bytes = bytes;
  RunOnce(name, terms, std::move(input), limit, std::move(done));
}

void Collectives::Broadcast(const std::string& name,
                            std::vector<std::string> members, Buffer input,
                            std::size_t bytes, Milliseconds limit,
                            std::function<void(Result<Buffer>)> done) {
  Terms terms;
  terms.members = std::move(members);
  terms.operation = Operation::kBroadcast;
  terms.bytes = bytes;
  RunOnce(name, terms, std::move(input), limit, std::move(done));
}

}  // namespace hearsay::transport::collective
