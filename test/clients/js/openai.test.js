// The openai package.
import assert from 'node:assert/strict'
import test from 'node:test'
import OpenAI from 'openai'
import { question, steady, tool, withWeatherModel } from './weather.js'

const baseURL = process.env.NODE_URL + '/v1'
const node = new OpenAI({ baseURL, apiKey: 'anything', maxRetries: 0 })
const model = 'smollm2:135m'
const messages = [{ role: 'user', content: steady }]

const jsonSchema = (schema) => ({ type: 'json_schema', json_schema: { name: 'x', schema } })

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
  // Bound to a format that wants thousands of tokens: the model cannot end before the client does.
  const format = jsonSchema({ type: 'array', items: { type: 'boolean' }, minItems: 1500 })
  const stream = await node.chat.completions.create(
    { model, messages, stream: true, max_tokens: 100000, response_format: format })
  for await (const chunk of stream) {
    assert.ok(chunk.id)
    stream.controller.abort()
    break
  }
  assert.ok((await node.chat.completions.create({ model, messages, max_tokens: 1 })).choices.length)
})

test('JSON schema binds the answer', async () => {
  const schema = {
    type: 'object',
    properties: { color: { enum: ['red', 'green'] }, warm: { type: 'boolean' } },
    required: ['color', 'warm'],
    additionalProperties: false,
  }
  const reply = await node.chat.completions.create(
    { model, messages, max_tokens: 60, response_format: jsonSchema(schema) })
  const answer = JSON.parse(reply.choices[0].message.content)
  assert.ok(['red', 'green'].includes(answer.color))
  assert.equal(typeof answer.warm, 'boolean')
  assert.equal(Object.keys(answer).length, 2)
})

test('a thought and a call, whole and streamed', async () => {
  await withWeatherModel('client-test-js-openai', async (caller) => {
    const ask = { model: caller, messages: [question], tools: [tool], reasoning_effort: 'low' }
    const { message, finish_reason: reason } =
      (await node.chat.completions.create(ask)).choices[0]
    assert.equal(reason, 'tool_calls')
    assert.equal(message.tool_calls.length, 1)
    const [call] = message.tool_calls
    assert.ok(call.id)
    assert.equal(call.function.name, 'get_weather')
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' })
    assert.ok(message.reasoning && !message.content)

    const deltas = []
    const stream = node.chat.completions.stream(ask)
    stream.on('chunk', (chunk) => deltas.push(chunk.choices[0].delta))
    const final = (await stream.finalChatCompletion()).choices[0]
    assert.equal(final.finish_reason, 'tool_calls')
    assert.deepEqual(final.message.tool_calls.map((each) => each.function.arguments),
      [call.function.arguments])
    assert.equal(deltas.map((delta) => delta.reasoning ?? '').join(''), message.reasoning)
    assert.ok(deltas.every((delta) => !delta.content))
  })
})

test('tools run by the package, and a forced call', async () => {
  await withWeatherModel('client-test-js-openai', async (caller) => {
    const asked = []
    const run = (values) => {
      asked.push(values)
      return 'sunny'
    }
    const callable = { ...tool.function, parse: JSON.parse, function: run }
    const runner = node.chat.completions.runTools({
      model: caller, messages: [question], tools: [{ type: 'function', function: callable }] })
    assert.match(await runner.finalContent(), /sunny in Paris/)
    assert.deepEqual(asked, [{ city: 'Paris' }])

    const forced = await node.chat.completions.create({
      model: caller, messages, tools: [tool], tool_choice: 'required', reasoning_effort: 'none' })
    const [call] = forced.choices[0].message.tool_calls
    assert.ok(['Paris', 'Rome'].includes(JSON.parse(call.function.arguments).city))
    assert.equal(forced.choices[0].message.reasoning, undefined)
  })
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
  await assert.rejects(
    node.chat.completions.create({ model: 'no-such-model', messages, stream: true }),
    OpenAI.NotFoundError)
  await assert.rejects(node.chat.completions.create({ model, messages, tools: [tool] }),
    (error) => error instanceof OpenAI.BadRequestError && /not support tools/.test(error.message))
  await assert.rejects(node.chat.completions.create({ model, messages, reasoning_effort: 'much' }),
    (error) => error instanceof OpenAI.BadRequestError && /invalid reasoning/.test(error.message))
  await assert.rejects(node.responses.create({ model, input: 7 }), OpenAI.BadRequestError)
})
