// What members remember of each other's ledgers: of what a node is made to
// hear, and where it keeps what it has heard.
#include <openssl/sha.h>

#include <boost/asio/post.hpp>
#include <fstream>
#include <iterator>
#include <utility>

#include "daemon/node.h"

namespace hearsay::daemon {
namespace {

constexpr auto kBetweenSaves = std::chrono::seconds(2);

// Known to this node alone, and the same after a restart: of its private key.
std::string SecretOf(const Config& config) {
  if (!config.tls.mutual) return "";
  std::ifstream file(config.tls.files.key, std::ios::binary);
  const std::string key((std::istreambuf_iterator<char>(file)), {});
  if (!file || key.empty()) return "";
  std::string secret(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(secret.data()));
  return secret;
}

// Whole or not at all; what a power failure leaves is the others' memory.
void WriteMarks(const std::filesystem::path& path, const std::string& text) {
  const auto aside = path.string() + ".new";
  std::error_code ignored;
  if (std::ofstream file(aside, std::ios::binary | std::ios::trunc);
      file << text && file.flush())
    std::filesystem::rename(aside, path, ignored);
}

}  // namespace

void Node::MakeLedgerWatch() {
  std::optional<MarkMaker> own;
  if (run_.budget) {
    const Budget& budget = *run_.budget;
    own.emplace(MarkMaker::Ledger{config_.node.name, budget.ledger_id(),
                                  run_.train->content_hash(),
                                  [&budget](std::uint64_t sequence) {
                                    return budget.HashAt(sequence);
                                  }},
                SecretOf(config_));
  }
  ledger_watch_ = std::make_unique<LedgerWatch>(
      config_.node.state_dir / "ledger-marks.json", std::move(own),
      [this](const std::string& text) {
        events_.Add(Level::kWarning, "privacy", text);
      });
}

bool Node::HearOfLedgers(const std::string& member, const NodeReport& report) {
  const auto trouble = ledger_watch_->Hear(member, report);
  if (!trouble || stopping_) return true;
  rolled_back_ = config_.privacy.ledger.string() + ": " + *trouble;
  Stop();
  return false;
}

void Node::SaveMarks() {
  const auto now = std::chrono::steady_clock::now();
  if (!stopping_ && now - marks_saved_ < kBetweenSaves) return;
  marks_saved_ = now;
  auto text = ledger_watch_->TakeChanges();
  if (!text) return;
  // A disk may be slow: not on this thread.
  boost::asio::post(sketcher_,
                    [file = ledger_watch_->file(), text = *std::move(text)] {
                      WriteMarks(file, text);
                    });
}

}  // namespace hearsay::daemon
