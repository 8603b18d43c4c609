// Answers requests with this node's models and scheduler.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "generation/answer_run.h"
#include "generation/generation.h"
#include "generation/model_access.h"
#include "generation/prepared_prompt.h"
#include "prompt/render.h"

namespace om::generation {

// On the io thread. References outlive it and its answers.
class NodeGeneration final : public Generation {
 public:
  NodeGeneration(io::World& world, store::Store& store, scheduler::Scheduler& scheduler,
                 GenerationOptions options)
      : world_(world), store_(store), scheduler_(scheduler), options_(std::move(options)) {}

  io::Task<Result<std::unique_ptr<Answer>>> chat(model::ChatRequest request,
                                                 io::Call call) override;
  io::Task<Result<std::unique_ptr<Answer>>> generate(model::GenerateRequest request,
                                                     io::Call call) override;
  io::Task<Result<model::Embedding>> embed(model::EmbedRequest request, io::Call call) override;
  io::Task<Result<int64_t>> count_tokens(model::ChatRequest request, io::Call call) override;
  Result<Decision> dry_run(const model::ChatRequest& request) override;
  Result<Decision> dry_run(const model::GenerateRequest& request) override;
  std::string explain(const std::string& request_id) const override {
    return scheduler_.explain(request_id);
  }

 private:
  // What chat, generate and count_tokens settle before they need a runner.
  struct Job {
    ModelPointer model;
    std::shared_ptr<const prompt::Template> chat_template;
    model::Options options;
    model::Think think;
    scheduler::Target target;
    scheduler::AcquireOptions acquire;
    io::TimePoint started{};
  };
  struct Leased {
    std::unique_ptr<scheduler::Lease> lease;
    int context = 0;
    // Time from asking for the lease to having it, without the wait for a slot: Ollama's
    // load_duration, which all answers have, not only those that waited for a load.
    std::chrono::nanoseconds load{};
  };
  struct Ready {
    Leased leased;
    PreparedPrompt prepared;
  };
  using PrepareFunction = std::function<io::Task<Result<PreparedPrompt>>(PromptSetting)>;

  Result<Job> begin(const model::RequestCommon& common, ModelPointer model, Purpose purpose,
                    const std::string* own_template);
  Result<Job> begin_chat(const model::ChatRequest& request);
  Result<Job> begin_generate(const model::GenerateRequest& request);
  Result<Decision> dry_run(const Job& job) const;
  io::Task<Result<void>> make_readable(std::vector<std::string>& images);
  Result<void> check_media(const Job& job, bool has_images, const scheduler::Lease& lease) const;
  io::Task<Result<Ready>> make_ready(Job& job, const model::RequestCommon& common, bool has_media,
                                     PrepareFunction prepare, io::Call call);
  io::Task<Result<Leased>> acquire(Job& job, io::Call call);
  PromptSetting setting_for(const Job& job, const Leased& leased,
                            const model::RequestCommon& common) const;
  io::Task<Result<std::unique_ptr<Answer>>> load_only(Job job, io::Call call);
  Result<std::unique_ptr<Answer>> unload(const std::string& name, Purpose purpose);
  std::unique_ptr<Answer> fixed(model::Chunk chunk) const;
  io::Task<Result<std::unique_ptr<Answer>>> run(Job job, Leased leased, PreparedPrompt prepared,
                                                model::RequestCommon common, bool want_context,
                                                io::Call call);

  io::World& world_;
  store::Store& store_;
  scheduler::Scheduler& scheduler_;
  GenerationOptions options_;
  prompt::TemplateCache templates_;
};

}  // namespace om::generation
