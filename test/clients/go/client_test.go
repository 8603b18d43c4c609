// Package clients tests a node with Ollama's own Go client.
package clients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ollama/ollama/api"
)

const model = "smollm2:135m"

func client(t *testing.T) (*api.Client, context.Context) {
	t.Helper()
	node, err := api.ClientFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	return node, ctx
}

// Its likeliest answer is far likelier than any other, so that the runner's cache, which changes
// the last digits of all figures, does not change it.
func steady() []api.Message {
	return []api.Message{{Role: "user",
		Content: "Repeat: one two three four five six seven eight nine ten."}}
}

func wantStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	var failure api.StatusError
	if !errors.As(err, &failure) {
		t.Fatalf("want status %d, got %v", status, err)
	}
	if failure.StatusCode != status || !strings.Contains(failure.Error(), text) {
		t.Fatalf("want status %d with %q, got %d %v", status, text, failure.StatusCode, failure)
	}
}

func TestVersionListShowAndPs(t *testing.T) {
	node, ctx := client(t)
	if version, err := node.Version(ctx); err != nil || version == "" {
		t.Fatal(version, err)
	}
	if err := node.Heartbeat(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := node.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, entry := range list.Models {
		found = found || entry.Name == model && entry.Size > 10_000_000 && len(entry.Digest) == 64
	}
	if !found {
		t.Fatalf("%s is not listed: %+v", model, list.Models)
	}
	shown, err := node.Show(ctx, &api.ShowRequest{Model: model})
	if err != nil || shown.Details.Family != "llama" || shown.Template == "" {
		t.Fatalf("%+v %v", shown, err)
	}
	stream := false
	load := &api.GenerateRequest{Model: model, Stream: &stream}
	if err := node.Generate(ctx, load, func(reply api.GenerateResponse) error {
		if reply.DoneReason != "load" {
			t.Errorf("%+v", reply)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	running, err := node.ListRunning(ctx)
	if err != nil || len(running.Models) == 0 || running.Models[0].Size == 0 {
		t.Fatalf("%+v %v", running, err)
	}
}

func TestGenerateStreams(t *testing.T) {
	node, ctx := client(t)
	var text strings.Builder
	parts, done := 0, 0
	request := &api.GenerateRequest{Model: model, Prompt: "Why is the sky blue?",
		Options: map[string]any{"num_predict": 12}}
	err := node.Generate(ctx, request, func(reply api.GenerateResponse) error {
		parts++
		text.WriteString(reply.Response)
		if reply.Done {
			done++
			if reply.EvalCount == 0 || reply.PromptEvalCount == 0 || reply.EvalDuration <= 0 {
				t.Errorf("no figures: %+v", reply)
			}
		}
		return nil
	})
	if err != nil || parts < 3 || done != 1 || text.Len() == 0 {
		t.Fatal(err, parts, done, text.String())
	}
}

func TestChatWholeAndStreamed(t *testing.T) {
	node, ctx := client(t)
	var texts [2]string
	for i, stream := range []bool{false, true} {
		request := &api.ChatRequest{Model: model, Messages: steady(), Stream: &stream,
			Options: map[string]any{"num_predict": 12, "temperature": 0}}
		if err := node.Chat(ctx, request, func(reply api.ChatResponse) error {
			texts[i] += reply.Message.Content
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if texts[0] == "" || texts[0] != texts[1] {
		t.Fatalf("%q", texts)
	}
}

func TestAbortInMidStream(t *testing.T) {
	node, ctx := client(t)
	enough := errors.New("enough")
	// Of a format that wants far more tokens than a test waits for: the model cannot end earlier.
	request := &api.ChatRequest{Model: model, Messages: steady(),
		Format: json.RawMessage(`{"type":"array","minItems":500,"items":
			{"type":"array","items":{"type":"boolean"},"minItems":500}}`),
		Options: map[string]any{"num_predict": 100000}}
	parts := 0
	err := node.Chat(ctx, request, func(api.ChatResponse) error {
		if parts++; parts == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	// The client swallows the error of a stream that breaks off: what counts is that it ends.
	_ = node.Chat(short, request, func(reply api.ChatResponse) error {
		cancel()
		if reply.Done {
			t.Error("the answer went on to its end")
		}
		return nil
	})
	wantUnload(t, node, ctx)
}

// The node lets go of the model when told to, but not while an answer runs.
func wantUnload(t *testing.T, node *api.Client, ctx context.Context) {
	t.Helper()
	request := &api.GenerateRequest{Model: model, KeepAlive: &api.Duration{}}
	none := func(api.GenerateResponse) error { return nil }
	if err := node.Generate(ctx, request, none); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		running, err := node.ListRunning(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(running.Models, func(each api.ProcessModelResponse) bool {
			return each.Name == model
		}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("an answer runs on that nobody reads")
}

func TestSchemaBindsTheAnswer(t *testing.T) {
	node, ctx := client(t)
	stream := false
	request := &api.ChatRequest{Model: model, Messages: steady(), Stream: &stream,
		Format: json.RawMessage(`{"type":"object","properties":{"warm":{"type":"boolean"}},
			"required":["warm"],"additionalProperties":false}`),
		Options: map[string]any{"num_predict": 60}}
	err := node.Chat(ctx, request, func(reply api.ChatResponse) error {
		var answer struct{ Warm *bool }
		err := json.Unmarshal([]byte(reply.Message.Content), &answer)
		if err != nil || answer.Warm == nil {
			t.Errorf("%q %v", reply.Message.Content, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestToolsAndThinkingNeedAModelThatHasThem(t *testing.T) {
	node, ctx := client(t)
	none := func(api.ChatResponse) error { return nil }
	tool := api.Tool{Type: "function", Function: api.ToolFunction{Name: "f"}}
	request := &api.ChatRequest{Model: model, Messages: steady(), Tools: api.Tools{tool}}
	err := node.Chat(ctx, request, none)
	wantStatus(t, err, http.StatusBadRequest, "does not support tools")
	err = node.Chat(ctx, &api.ChatRequest{Model: model, Messages: steady(),
		Think: &api.ThinkValue{Value: true}}, none)
	wantStatus(t, err, http.StatusBadRequest, "does not support thinking")
}

func TestEmbed(t *testing.T) {
	node, ctx := client(t)
	list, err := node.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list.Models {
		if !strings.HasPrefix(entry.Name, "all-minilm") {
			continue
		}
		reply, err := node.Embed(ctx, &api.EmbedRequest{Model: entry.Name, Input: []string{"a", "b"}})
		if err != nil || len(reply.Embeddings) != 2 || len(reply.Embeddings[0]) != 384 {
			t.Fatal(err, len(reply.Embeddings))
		}
		old, err := node.Embeddings(ctx, &api.EmbeddingRequest{Model: entry.Name, Prompt: "a"})
		if err != nil || len(old.Embedding) != 384 {
			t.Fatal(err)
		}
		return
	}
	t.Skip("the node has no all-minilm")
}

func TestCreateCopyDelete(t *testing.T) {
	node, ctx := client(t)
	name, other := "client-test-go", "client-test-go-copy"
	var last string
	request := &api.CreateRequest{Model: name, From: model, System: "Be brief.",
		Parameters: map[string]any{"temperature": 0.25, "stop": []string{"END"}}}
	if err := node.Create(ctx, request, func(progress api.ProgressResponse) error {
		last = progress.Status
		return nil
	}); err != nil || last != "success" {
		t.Fatal(err, last)
	}
	if err := node.Copy(ctx, &api.CopyRequest{Source: name, Destination: other}); err != nil {
		t.Fatal(err)
	}
	shown, err := node.Show(ctx, &api.ShowRequest{Model: other})
	if err != nil || shown.System != "Be brief." || !strings.Contains(shown.Parameters, "0.25") {
		t.Fatalf("%+v %v", shown, err)
	}
	// The request has no system message, which the client sends as an empty one.
	prompt := ""
	generate := &api.GenerateRequest{Model: name, Prompt: "Hi", DebugRenderOnly: true}
	if err := node.Generate(ctx, generate, func(reply api.GenerateResponse) error {
		if reply.DebugInfo != nil {
			prompt += reply.DebugInfo.RenderedTemplate
		}
		return nil
	}); err != nil || !strings.Contains(prompt, "Be brief.") {
		t.Fatal(err, prompt)
	}
	for _, each := range []string{name, other} {
		if err := node.Delete(ctx, &api.DeleteRequest{Model: each}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = node.Show(ctx, &api.ShowRequest{Model: name})
	wantStatus(t, err, http.StatusNotFound, "not found")
}

// The node has the blob and answers before its bytes have come; the client looks at that answer
// only while it goes on sending.
func TestABlobThatIsThereIsSentAgain(t *testing.T) {
	node, ctx := client(t)
	data := bytes.Repeat([]byte("blob"), 16<<20)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	for turn := range 4 {
		reader := io.MultiReader(bytes.NewReader(data)) // Of unknown length, as a file's is.
		if err := node.CreateBlob(ctx, digest, reader); err != nil {
			t.Fatal(turn, err)
		}
	}
}

func TestErrors(t *testing.T) {
	node, ctx := client(t)
	err := node.Chat(ctx, &api.ChatRequest{Model: "no-such-model", Messages: steady()},
		func(api.ChatResponse) error { return nil })
	wantStatus(t, err, http.StatusNotFound, "model 'no-such-model' not found")
	err = node.Delete(ctx, &api.DeleteRequest{Model: "no-such-model"})
	wantStatus(t, err, http.StatusNotFound, "not found")
	err = node.Copy(ctx, &api.CopyRequest{Source: "no-such-model", Destination: "x"})
	wantStatus(t, err, http.StatusNotFound, "not found")
}
