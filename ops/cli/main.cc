// hearsay: starts, watches, questions and compares. hearsayd does the work.
#include <cstdio>
#include <exception>

#include "ops/cli/usage.h"
#include "ops/cli/verbs.h"

namespace {

constexpr const char* kFooter =
    "Start here:  hearsay synth pums --rows 40000 --out people.csv\n"
    "             hearsay prep --schema ops/schemas/pums-employed.toml "
    "people.csv --out shards --shards 4 --eval-fraction 0.1\n"
    "             hearsay up --nodes 4 --data shards --dir run --wait\n"
    "             hearsay status --dir run --cluster --watch\n"
    "Each verb has its own --help. Exit codes: 0 ok, 1 error, 2 usage, "
    "3 degraded,\n4 unhealthy, 5 unreachable, 6 unauthorised, 7 timed out, "
    "8 budget exhausted.";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Train one model on many machines that keep their data, with "
      "differential privacy and without a server.",
      "hearsay"};
  app.require_subcommand(1);
  app.failure_message(hearsay::ops::UsageError);
  app.set_version_flag("--version", "hearsay 0.1.0");
  hearsay::ops::AddClusterVerbs(app);
  hearsay::ops::AddNodeVerbs(app);
  hearsay::ops::AddNetworkVerbs(app);
  hearsay::ops::AddDataVerbs(app);
  hearsay::ops::AddPrivacyVerbs(app);
  hearsay::ops::AddModelVerbs(app);
  hearsay::ops::AddExportVerbs(app);
  hearsay::ops::AddBenchVerbs(app);
  hearsay::ops::AddCompareVerb(app);
  hearsay::ops::AddAuditVerb(app);
  hearsay::ops::AddPlanVerb(app);
  hearsay::ops::AddSimVerb(app);
  hearsay::ops::AddDoctorVerb(app);
  hearsay::ops::AddTlsVerbs(app);
  app.footer(kFooter);  // last: verbs would inherit it
  try {
    app.parse(argc, argv);
    return hearsay::ops::kOk;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? hearsay::ops::kOk : hearsay::ops::kUsage;
  } catch (const hearsay::ops::Exit& exit) {
    if (*exit.what() != '\0')
      std::fprintf(stderr, "hearsay: %s\n", exit.what());
    return exit.code;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearsay: %s\n", error.what());
    return hearsay::ops::kError;
  }
}
