#include "peer/renewal.h"

#include <algorithm>

#include "base/log.h"
#include "cluster/admission.h"
#include "engine/remote/wire.h"
#include "peer/metrics.h"

namespace om::peer {
namespace {

using security::RenewalStep;

constexpr uint64_t kRequestBytesMax = 16 << 10, kAnswerBytesMax = 64 << 10;
constexpr std::chrono::seconds kRenewMax{20};
// How often the calendar is looked at: the machine may have slept, or its clock been set.
constexpr std::chrono::minutes kClockLook{10};
constexpr std::chrono::seconds kRetryMin{2};
// Clocks differ: what another node has given may end so much later than what this one would give.
constexpr std::chrono::hours kLongerMax{24};
constexpr std::chrono::hours kRetryMax{1};

}  // namespace

Renewal::Renewal(RenewalLinks links)
    : links_(std::move(links)),
      change_(links_.world.clock),
      tasks_(links_.world.executor, links_.world.clock) {}

Renewal::~Renewal() = default;

void Renewal::start() { tasks_.spawn(run()); }

void Renewal::look_again() {
  changed_ = true;
  change_.notify_all();
}

io::Task<void> Renewal::stop() { co_await tasks_.stop(); }

security::RenewalPlan Renewal::plan(const security::CertificateFacts& facts) const {
  const io::WallTime now = links_.world.clock.wall_now();
  security::RenewalPlan plan =
      security::plan_renewal(facts, links_.addresses_of(links_.node), now, links_.life);
  if (plan.step == RenewalStep::wait && now + links_.life + kLongerMax < facts.not_after) {
    plan.step = RenewalStep::renew;
    plan.why = "certificates are to live shorter now (cluster.certificate_life)";
  }
  return plan;
}

Result<std::string> Renewal::issue(const security::Authority& authority, std::string_view request,
                                   security::IssueOptions options) {
  options.addresses = links_.addresses_of(options.name);
  options.now = links_.world.clock.wall_now();
  options.life = links_.life;
  return security::issue_certificate(authority, request, options, links_.world.random);
}

// It begins no later than the old one: were this clock ahead now, and right again later, nobody
// would believe a certificate that has not begun, and this node could not get another one.
Result<std::string> Renewal::issue_own(const security::Authority& authority,
                                       std::string_view request,
                                       const security::CertificateFacts& replaces) {
  security::IssueOptions options;
  options.name = links_.node;
  options.replaces = replaces.serial;
  options.begins_by = replaces.not_before;
  return issue(authority, request, std::move(options));
}

void Renewal::renew_by_itself() {
  const auto renewed = [this]() -> Result<bool> {
    TRY(const security::Identity identity, links_.identity.load());
    not_after_ = identity.facts.not_after;
    if (plan(identity.facts).step == RenewalStep::wait) return false;
    TRY(const security::Authority authority, links_.identity.load_authority());
    TRY(const auto request, security::make_certificate_request(links_.node));
    TRY(const std::string certificate, issue_own(authority, request.request, identity.facts));
    TRY_VOID(links_.identity.save(identity.authorities, certificate, request.key,
                                  links_.world.clock.wall_now()));
    return true;
  }();
  if (renewed && *renewed) {
    certificates_renewed.add();
    log_info("this node renewed its certificate itself", field("node", links_.node));
  } else if (!renewed && renewed.error().code != Errc::not_found) {
    log_warn("certificate not renewed", field("error", renewed.error()));
  }
}

io::Task<void> Renewal::run() {
  const io::CancelToken token = tasks_.token();
  io::Clock& clock = links_.world.clock;
  while (!token.cancelled()) {
    changed_ = false;
    const io::WallTime again = std::max(co_await look(), clock.wall_now() + kRetryMin);
    while (clock.wall_now() < again && !changed_ && !token.cancelled()) {
      const io::Duration wait = std::min<io::Duration>(again - clock.wall_now(), kClockLook);
      (void)co_await change_.wait({clock.now() + wait, token});  // Mostly it is time that passes.
    }
  }
}

io::Task<io::WallTime> Renewal::look() {
  const io::WallTime now = links_.world.clock.wall_now();
  const auto identity = links_.identity.load();
  if (!identity) {
    log_warn("this node's certificate cannot be read", field("error", identity.error()));
    co_return now + kRetryMax;
  }
  const security::CertificateFacts facts = identity->facts;
  not_after_ = facts.not_after;
  const security::RenewalPlan due = plan(facts);
  if (due.step == RenewalStep::wait) {
    if (!due.why.empty()) log_warn("certificate", field("why", due.why));
    advice_.clear();
    co_return due.look_again;
  }
  const bool is_over = due.step == RenewalStep::join_again;
  // After its end only the authority's own key helps; nobody would listen to this node.
  auto renewed = Result<void>(fail(Errc::unauthenticated, "{}", due.why));
  if (!is_over || links_.identity.load_authority()) renewed = co_await renew(due.why);
  if (renewed) {
    advice_.clear();
    // Whoever gave it may know less of what it is to say: that is no reason to ask at once again.
    const auto given = links_.identity.load();
    co_return given ? plan(given->facts).look_again : now + kRetryMax;
  }
  certificate_renewal_failures.add();
  if (!is_over) {
    log_warn("certificate not renewed", field("why", due.why), field("error", renewed.error()));
    const io::Duration left = facts.not_after - now;
    co_return now + std::clamp<io::Duration>(left / 24, kRetryMin, kRetryMax);
  }
  std::string advice = fmt::format(
      "the certificate of node '{0}' has expired: the cluster could not renew it while the node "
      "was off. On another node: `ollamamax cluster remove {0}` and `ollamamax cluster token`; "
      "then here: `ollamamax cluster leave --force` and `ollamamax cluster join TOKEN`",
      links_.node);
  if (advice != advice_) log_error("certificate", field("advice", advice));
  advice_ = std::move(advice);
  co_return due.look_again;
}

io::Task<Result<void>> Renewal::renew(std::string why) {
  const io::Call call = links_.world.clock.call_within(kRenewMax, tasks_.token());
  CO_TRY(const auto request, security::make_certificate_request(links_.node));
  CO_TRY(const security::Identity identity, links_.identity.load());
  std::string certificate;
  if (const auto authority = links_.identity.load_authority()) {
    CO_TRY(certificate, issue_own(*authority, request.request, identity.facts));
  } else {
    CO_TRY(certificate, co_await ask_voters(request.request, identity.authorities, call));
  }
  const io::WallTime now = links_.world.clock.wall_now();
  CO_TRY_VOID(links_.identity.save(identity.authorities, certificate, request.key, now));
  certificates_renewed.add();
  CO_TRY(const auto facts, security::read_certificate(certificate));
  not_after_ = facts.not_after;
  log_info("certificate renewed", field("node", links_.node), field("why", why),
           field("good_for_s", std::chrono::floor<std::chrono::seconds>(not_after_ - now).count()));
  co_return Result<void>{};
}

io::Task<Result<std::string>> Renewal::ask_voters(std::string request, std::string authorities,
                                                  io::Call call) {
  Error last{Errc::unavailable, "no voter can be reached"};
  for (const engine::PeerLink& link : links_.voters()) {
    auto asked = link.request("POST", std::string(kRenewPath), request);
    auto response = co_await links_.client.send(std::move(asked), call);
    if (!response) {
      last = annotate(std::move(response).error(), "node " + link.node);
      continue;
    }
    auto text = co_await (*response)->read_all(kAnswerBytesMax);
    if (!text) {
      last = annotate(std::move(text).error(), "node " + link.node);
      continue;
    }
    if ((*response)->status() != 200) {
      last = {Errc::forbidden,
              fmt::format("node {} gives no certificate ({})", link.node, (*response)->status())};
      continue;
    }
    // One of a voter whose clock is ahead does not hold yet; another voter's does.
    const io::WallTime now = links_.world.clock.wall_now();
    const auto holds = security::verify_certificate(*text, authorities, now);
    if (holds) co_return text;
    last = annotate(holds.error(), "the certificate that node " + link.node + " gives");
  }
  co_return fail(std::move(last));
}

io::Task<void> Renewal::answer(http::Request& request, http::BodyReader& body,
                               http::ResponseWriter& response) {
  auto certificate = co_await certify(request, body);
  std::string text =
      certificate ? std::move(*certificate) : engine::error_line(certificate.error());
  // Who is gone needs no answer.
  (void)co_await response.send(certificate ? 200 : 403, "application/x-pem-file", std::move(text));
}

io::Task<Result<std::string>> Renewal::certify(http::Request& request, http::BodyReader& body) {
  if (request.method != "POST") co_return fail(Errc::unsupported, "POST a certificate request");
  CO_TRY(const std::string asked, co_await body.read_all(kRequestBytesMax));
  CO_TRY(const security::Authority authority, links_.identity.load_authority());
  security::IssueOptions options;
  options.name = request.peer_certificate;
  options.replaces = request.peer_certificate_serial;
  auto certificate = issue(authority, asked, std::move(options));
  if (certificate) {
    log_info("certificate given", field("node", request.peer_certificate));
  } else {
    log_warn("no certificate given", field("node", request.peer_certificate),
             field("error", certificate.error()));
  }
  co_return certificate;
}

}  // namespace om::peer
