"""langchain-ollama, as applications use it."""

from conftest import CHAT, SCHEMA, URL
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM


def chat(**options):
    return ChatOllama(model=CHAT, base_url=URL, num_predict=12, temperature=0, **options)


def test_invoke_tells_the_usage(node):
    reply = chat().invoke([SystemMessage("Be brief."), HumanMessage("Say hello.")])
    assert reply.content and reply.usage_metadata["output_tokens"] > 0
    assert reply.response_metadata["done"]


def test_stream_adds_up(node):
    whole = chat().invoke("Say hello.").content
    assert "".join(part.content for part in chat().stream("Say hello.")) == whole


def test_structured_output(node):
    model = ChatOllama(model=CHAT, base_url=URL, num_predict=60)
    schema = {**SCHEMA, "title": "Thing"}
    answer = model.with_structured_output(schema, method="json_schema").invoke("Describe grass.")
    assert set(answer) == {"color", "warm"}


def test_plain_completion(node):
    assert OllamaLLM(model=CHAT, base_url=URL, num_predict=4).invoke("The sea is")


def test_embeddings(node, embed_model):
    embeddings = OllamaEmbeddings(model=embed_model, base_url=URL)
    assert len(embeddings.embed_query("a cat")) == 384
    assert len(embeddings.embed_documents(["a", "b"])) == 2
