// An engine that its scheduler loads, watches and ends.
#pragma once

#include <functional>
#include <memory>

#include "engine/engine.h"
#include "engine/local/graphics.h"
#include "engine/local/launch.h"
#include "io/world.h"

namespace om::engine {

// How much a runner's end counts against the requests that ran on it.
enum class Blame {
  none,       // Another's doing, or the machine's.
  suspicion,  // The runner hung, which proves nothing.
  death,
};

// On the io thread. load() once; stop() must have returned before it is destroyed, also after a
// failed load or a death.
class LoadableEngine : public Engine {
 public:
  // unavailable: the child cannot be started, or ended while loading, with its last words.
  // not_found: no such program. cancelled, deadline_exceeded. After an error nothing of it runs.
  virtual io::Task<Result<void>> load(io::Call call) = 0;
  // Breaks the requests in flight, then ends the engine, by force after a grace period.
  virtual io::Task<void> stop() = 0;

  virtual bool alive() const = 0;
  // Called once, when it ends unasked after a successful load.
  virtual void on_death(std::function<void()> callback) = 0;
  virtual double load_progress() const = 0;      // 0..1.
  virtual io::ProcessMemory memory() const = 0;  // Of its child on this machine.
  // As the child told while loading.
  virtual GraphicsUse graphics() const { return {}; }
  // none: the engine was ended by another node's death, by a signal (an operator's, or the kernel's
  // for want of memory, which no single request caused: slots are allocated at the start), or
  // because it hung before it did anything.
  virtual Blame blame() const { return Blame::death; }
};

// Makes an engine that is not loaded yet.
using EngineFactory = std::function<std::unique_ptr<LoadableEngine>(LaunchOptions)>;

// Engines run by llama-server children.
EngineFactory local_engines(io::World& world);
// The same, and engines of split models and their parts. References outlive it.
class PartSource;
EngineFactory node_engines(io::World& world, PartSource& source);

}  // namespace om::engine
