// tls: a small CA for a cluster. See transport/tls/authority.h for its folder.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "transport/tls/authority.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;
namespace tls = transport::tls;
using Json = nlohmann::ordered_json;

constexpr int kAuthorityDays = 3650;
constexpr int kNodeDays = 365;
constexpr int kMostDays = 36500;
// Clocks of two machines differ.
constexpr std::chrono::minutes kSlack{10};

struct TlsFlags {
  std::string dir;
  std::string name;
  std::string out;
  std::string from;
  std::string until;
  std::string serial;
  std::string file;
  std::string output = "table";
  int days = 0;
  bool renew = false;
};

tls::WallTime TimeFlag(const char* flag, const std::string& text,
                       tls::WallTime otherwise) {
  if (text.empty()) return otherwise;
  const auto time = tls::ParseTime(text);
  if (!time)
    throw Exit(kUsage, fmt::format("{} {}: write 2026-01-31, or "
                                   "2026-01-31T12:00:00Z",
                                   flag, text));
  return *time;
}

tls::Validity ValidityOf(const TlsFlags& flags) {
  const auto now = tls::WallNow();
  const tls::Validity validity{
      TimeFlag("--from", flags.from, now - kSlack),
      TimeFlag("--until", flags.until, now + std::chrono::days(flags.days))};
  if (validity.from >= validity.until)
    throw Exit(kUsage, fmt::format("valid from {} until {}: that is never",
                                   tls::ShowTime(validity.from),
                                   tls::ShowTime(validity.until)));
  return validity;
}

Json ToJson(const tls::Issued& one) {
  return {{"serial", one.serial},
          {"node", one.node},
          {"until", tls::ShowTime(one.until)},
          {"revoked",
           one.revoked ? Json(tls::ShowTime(one.revoked)) : Json(nullptr)}};
}

void PrintIssued(const std::vector<tls::Issued>& issued,
                 const std::string& output) {
  if (output == "json") {
    Json list = Json::array();
    for (const auto& one : issued) list.push_back(ToJson(one));
    fmt::print("{}\n", Json{{"schema", 1}, {"certificates", list}}.dump(2));
    return;
  }
  Table table({{"NODE"}, {"SERIAL"}, {"UNTIL"}, {"REVOKED"}});
  for (const auto& one : issued)
    table.Add({one.node, one.serial, tls::ShowTime(one.until),
               one.revoked ? tls::ShowTime(one.revoked) : "-"});
  fmt::print("{}", table.Text());
}

void Init(const TlsFlags& flags) {
  tls::Authority::Create(flags.dir, flags.name, ValidityOf(flags));
  fmt::print(
      "{0}/ca.pem is the CA of '{1}'; guard {0}/ca.key: who has it can be any "
      "node\nnext: hearsay tls issue --name NODE --dir {0}\n",
      flags.dir, flags.name);
}

void Issue(const TlsFlags& flags) {
  tls::Authority authority(flags.dir);
  const fs::path out = flags.out.empty() ? flags.dir : flags.out;
  const auto issued =
      authority.Issue(flags.name, ValidityOf(flags), out,
                      flags.renew ? tls::Authority::IfThere::kReplace
                                  : tls::Authority::IfThere::kRefuse);
  if (flags.output == "json") return PrintIssued({issued}, flags.output);
  fmt::print(
      "{0}/{1}.pem and {0}/{1}.key (secret) are node {1}'s until {2}, serial "
      "{3}\non that node, beside copies of {4}/ca.pem and {4}/crl.pem:\n"
      "[tls]\nmode = \"mutual\"\nca = \"ca.pem\"\ncert = \"{1}.pem\"\n"
      "key = \"{1}.key\"\ncrl = \"crl.pem\"\n",
      out.string(), issued.node, tls::ShowTime(issued.until), issued.serial,
      flags.dir);
}

void Revoke(const TlsFlags& flags) {
  if (flags.name.empty() == flags.serial.empty())
    throw Exit(kUsage, "revoke needs --name or --serial");
  tls::Authority authority(flags.dir);
  const auto revoked = flags.name.empty() ? authority.RevokeSerial(flags.serial)
                                          : authority.RevokeNode(flags.name);
  PrintIssued(revoked, flags.output);
  fmt::print(stderr,
             "now give {}/crl.pem to all nodes and send each hearsayd a HUP\n",
             flags.dir);
}

void PrintFacts(const std::vector<tls::CertificateFacts>& all,
                const std::string& output) {
  Json list = Json::array();
  for (const auto& one : all)
    list.push_back({{"subject", one.subject},
                    {"issuer", one.issuer},
                    {"serial", one.serial},
                    {"names", one.names},
                    {"from", tls::ShowTime(one.from)},
                    {"until", tls::ShowTime(one.until)}});
  if (output == "json") {
    fmt::print("{}\n", Json{{"schema", 1}, {"certificates", list}}.dump(2));
    return;
  }
  Table table({{"SUBJECT"}, {"NAMES"}, {"SERIAL"}, {"FROM"}, {"UNTIL"}});
  for (const auto& one : all)
    table.Add({one.subject, fmt::format("{}", fmt::join(one.names, ",")),
               one.serial, tls::ShowTime(one.from), tls::ShowTime(one.until)});
  fmt::print("{}", table.Text());
}

void Show(const TlsFlags& flags) {
  if (flags.dir.empty() == flags.file.empty())
    throw Exit(kUsage, "show needs a FILE or --dir");
  if (flags.file.empty())
    PrintIssued(tls::Authority(flags.dir).issued(), flags.output);
  else
    PrintFacts(tls::Describe(flags.file), flags.output);
}

class Verb {
 public:
  Verb(CLI::App& tls, const char* name, const char* what)
      : app_(tls.add_subcommand(name, what)),
        flags_(std::make_shared<TlsFlags>()) {}

  CLI::Option* Dir() {
    return app_->add_option("--dir", flags_->dir, "The CA's folder");
  }
  CLI::Option* Name(const char* what) {
    return app_->add_option("--name", flags_->name, what);
  }
  void Valid(int days) {
    flags_->days = days;
    app_->add_option("--days", flags_->days, "How long it is valid")
        ->check(CLI::Range(1, kMostDays))
        ->capture_default_str();
    app_->add_option("--from", flags_->from,
                     "Valid from this UTC date or time on (default: now)");
    app_->add_option("--until", flags_->until,
                     "Valid until this UTC date or time, in place of --days");
  }
  void Output() {
    app_->add_option("-o,--output", flags_->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}));
  }
  void Does(void (*work)(const TlsFlags&)) {
    app_->callback([work, flags = flags_] { work(*flags); });
  }
  CLI::App* operator->() { return app_; }
  TlsFlags& flags() { return *flags_; }

 private:
  CLI::App* app_;
  std::shared_ptr<TlsFlags> flags_;
};

}  // namespace

void AddTlsVerbs(CLI::App& app) {
  auto* tls =
      app.add_subcommand("tls", "A small CA: who may be a node of a cluster");
  tls->require_subcommand(1);
  tls->footer(
      "Nodes meet over TLS 1.3 and show each other certificates. One of a node "
      "carries its\nnode.name and is signed by the cluster's CA:\n"
      "  hearsay tls init --dir tls --name pums    once, on a machine that you "
      "trust\n"
      "  hearsay tls issue --name a --dir tls      for each node; copy a.pem, "
      "a.key, ca.pem\n"
      "                                            and crl.pem to it, nothing "
      "else\n"
      "  hearsay tls revoke --name a --dir tls     then copy crl.pem to all, "
      "and HUP them\n"
      "  hearsay tls issue --name a --renew ...    before it expires; HUP "
      "takes "
      "it over\n"
      "`hearsay up` does all this by itself, in DIR/tls.");

  Verb init(*tls, "init", "Make the CA of a cluster");
  init.Dir()->required();
  init.Name("The cluster's, for people to read")->capture_default_str();
  init.flags().name = "hearsay";
  init.Valid(kAuthorityDays);
  init.Does(&Init);

  Verb issue(*tls, "issue", "Make a node's certificate and key");
  issue.Dir()->required();
  issue.Name("The node's node.name")->required();
  issue->add_option("--out", issue.flags().out,
                    "Folder for NAME.pem and NAME.key (default: --dir)");
  issue.Valid(kNodeDays);
  issue->add_flag("--renew", issue.flags().renew,
                  "Replace NAME.pem and NAME.key; the old certificate stays "
                  "valid unless it is revoked by its serial");
  issue.Output();
  issue.Does(&Issue);

  Verb revoke(*tls, "revoke", "Withdraw a node's certificates");
  revoke.Dir()->required();
  revoke.Name("All of this node's");
  revoke->add_option("--serial", revoke.flags().serial,
                     "The one of this serial (`hearsay tls show`)");
  revoke.Output();
  revoke.Does(&Revoke);

  Verb show(*tls, "show", "What a certificate says, or what a CA has issued");
  show->add_option("FILE", show.flags().file, "PEM file of certificates");
  show.Dir();
  show.Output();
  show.Does(&Show);
}

}  // namespace hearsay::ops
