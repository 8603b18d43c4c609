#include "peer/staged_scheduler.h"

#include <gtest/gtest.h>

#include "generation/scripted_for_test.h"
#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::peer {
namespace {

using generation::testing::Script;
using generation::testing::ScriptedScheduler;

io::Task<Result<void>> do_not_bring(Errc why) { co_return fail(why, "it was so"); }

io::Task<void> ask(StagedScheduler& staged, io::CancelToken cancel, Errc& told) {
  const auto lease = co_await staged.acquire({}, {}, {io::kNever, std::move(cancel)});
  CO_ASSERT(!lease);
  told = lease.error().code;
}

// What a request is told whose files cannot be brought for that reason.
Errc told_of(Errc why, bool cancelled) {
  sim::World world(1);
  Script script;
  ScriptedScheduler local(script);
  StagedScheduler staged(local,
                         [why](const scheduler::Target&, io::Call) { return do_not_bring(why); });
  io::CancelSource cancel;
  if (cancelled) cancel.cancel();
  Errc told{};
  world.run(ask(staged, cancel.token(), told));
  EXPECT_TRUE(script.targets.empty()) << "a runner was asked for without its files";
  return told;
}

TEST(StagedScheduler, LetsAnotherNodeBeAskedWhateverKeepsTheFilesAway) {
  for (const Errc why : {Errc::unavailable, Errc::not_leader, Errc::deadline_exceeded,
                         Errc::io_failed, Errc::cancelled}) {
    EXPECT_EQ(told_of(why, false), Errc::not_found) << to_string(why);
  }
}

TEST(StagedScheduler, AsksNobodyElseForARequestThatHasGone) {
  EXPECT_EQ(told_of(Errc::cancelled, true), Errc::cancelled);
}

}  // namespace
}  // namespace om::peer
