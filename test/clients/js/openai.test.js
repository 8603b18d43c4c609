// The openai package.
import assert from 'node:assert/strict'
import test from 'node:test'
import OpenAI from 'openai'

const baseURL = process.env.NODE_URL + '/v1'
const node = new OpenAI({ baseURL, apiKey: 'anything', maxRetries: 0 })
const model = 'smollm2:135m'
const messages = [{ role: 'user', content: 'Say hello.' }]

test('models', async () => {
  const { data } = await node.models.list()
  assert.ok(data.some((entry) => entry.id === model))
  assert.equal((await node.models.retrieve(model)).object, 'model')
  await assert.rejects(node.models.retrieve('no-such-model'), OpenAI.NotFoundError)
})

test('chat and its stream say the same', async () => {
  const request = { model, messages, max_completion_tokens: 8, temperature: 0 }
  const whole = await node.chat.completions.create(request)
  assert.ok(['stop', 'length'].includes(whole.choices[0].finish_reason))
  let text = ''
  let usage
  const stream = await node.chat.completions.create(
    { ...request, stream: true, stream_options: { include_usage: true } })
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(text, whole.choices[0].message.content)
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens)
})

test('abort in mid-stream', async () => {
  const stream = await node.chat.completions.create({ model, messages, stream: true })
  for await (const chunk of stream) {
    assert.ok(chunk.id)
    stream.controller.abort()
    break
  }
  assert.ok((await node.chat.completions.create({ model, messages, max_tokens: 1 })).choices.length)
})

test('completions, n and logprobs', async () => {
  const reply = await node.completions.create({ model, prompt: 'One,', max_tokens: 3, n: 2 })
  assert.equal(reply.choices.length, 2)
  const chat = await node.chat.completions.create(
    { model, messages, max_tokens: 2, logprobs: true, top_logprobs: 1 })
  assert.equal(chat.choices[0].logprobs.content[0].top_logprobs.length, 1)
})

test('responses', async () => {
  const reply = await node.responses.create({ model, input: 'Say hello.', max_output_tokens: 3 })
  assert.equal(reply.status, 'incomplete')
  assert.ok(reply.output_text)
  const types = []
  const stream = await node.responses.create(
    { model, input: 'Hi', max_output_tokens: 3, stream: true })
  for await (const event of stream) {
    types.push(event.type)
  }
  assert.equal(types[0], 'response.created')
  assert.match(types.at(-1), /^response\.(completed|incomplete)$/)
})

test('embeddings', async (context) => {
  const { data } = await node.models.list()
  if (!data.some((entry) => entry.id.startsWith('all-minilm'))) return context.skip('no all-minilm')
  const reply = await node.embeddings.create({ model: 'all-minilm', input: 'a cat' })
  assert.equal(reply.data[0].embedding.length, 384)
})

test('errors', async () => {
  await assert.rejects(node.chat.completions.create({ model: 'no-such-model', messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.type === 'not_found_error')
  await assert.rejects(node.chat.completions.create({ model, messages: [] }),
    OpenAI.BadRequestError)
})
