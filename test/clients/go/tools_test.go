package clients

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ollama/ollama/api"
)

// A model that thinks, calls the tool by its own choice and answers with the result: it copies
// what its messages show, by far the likeliest text there. It is gone after the test.
func weatherModel(t *testing.T, node *api.Client, ctx context.Context) (string, api.Tool) {
	t.Helper()
	text, err := os.ReadFile("../weather.json")
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		Tool   api.Tool
		Create api.CreateRequest
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	shown.Create.Model = "client-test-go-weather"
	none := func(api.ProgressResponse) error { return nil }
	if err := node.Create(ctx, &shown.Create, none); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		request := &api.DeleteRequest{Model: shown.Create.Model}
		if err := node.Delete(context.Background(), request); err != nil {
			t.Error(err)
		}
	})
	return shown.Create.Model, shown.Tool
}

type answer struct {
	message  api.Message // All parts together.
	thoughts int         // Parts with a thought.
	reason   string
}

func ask(t *testing.T, node *api.Client, ctx context.Context, request *api.ChatRequest) answer {
	t.Helper()
	var whole answer
	err := node.Chat(ctx, request, func(reply api.ChatResponse) error {
		streamed := request.Stream == nil || *request.Stream
		if streamed && reply.Done && len(reply.Message.ToolCalls) > 0 {
			t.Errorf("a call in the last part: %+v", reply)
		}
		if reply.Message.Thinking != "" {
			whole.thoughts++
		}
		whole.message.Role = reply.Message.Role
		whole.message.Content += reply.Message.Content
		whole.message.Thinking += reply.Message.Thinking
		whole.message.ToolCalls = append(whole.message.ToolCalls, reply.Message.ToolCalls...)
		whole.reason = reply.DoneReason
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func TestAThoughtACallAndAnAnswerWithItsResult(t *testing.T) {
	node, ctx := client(t)
	name, tool := weatherModel(t, node, ctx)
	question := api.Message{Role: "user", Content: "Weather in Paris?"}
	var first, streamed answer
	for _, stream := range []bool{false, true} {
		got := ask(t, node, ctx, &api.ChatRequest{Model: name, Messages: []api.Message{question},
			Tools: api.Tools{tool}, Think: &api.ThinkValue{Value: true}, Stream: &stream})
		message := got.message
		if message.Thinking == "" || message.Content != "" || got.reason != "stop" {
			t.Fatalf("stream %v: %+v", stream, got)
		}
		if len(message.ToolCalls) != 1 || message.ToolCalls[0].ID == "" ||
			message.ToolCalls[0].Function.Name != "get_weather" ||
			message.ToolCalls[0].Function.Arguments.String() != `{"city":"Paris"}` {
			t.Fatalf("stream %v: %+v", stream, message.ToolCalls)
		}
		if stream {
			streamed = got
		} else {
			first = got
		}
	}
	if streamed.message.Thinking != first.message.Thinking || streamed.thoughts < 2 {
		t.Fatalf("%+v %+v", first, streamed)
	}

	result := api.Message{Role: "tool", Content: "sunny", ToolName: "get_weather",
		ToolCallID: first.message.ToolCalls[0].ID}
	for _, think := range []bool{true, false} {
		last := ask(t, node, ctx, &api.ChatRequest{Model: name, Tools: api.Tools{tool},
			Messages: []api.Message{question, first.message, result},
			Think:    &api.ThinkValue{Value: think}}).message
		if !strings.Contains(last.Content, "sunny in Paris") || len(last.ToolCalls) > 0 ||
			(last.Thinking != "") != think {
			t.Fatalf("think %v: %+v", think, last)
		}
	}
}
