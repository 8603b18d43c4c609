// The ollama package: Ollama's own API.
import assert from 'node:assert/strict'
import test from 'node:test'
import { Ollama } from 'ollama'
import { question, steady, tool, withWeatherModel } from './weather.js'

const node = new Ollama({ host: process.env.NODE_URL })
const model = 'smollm2:135m'
const messages = [{ role: 'user', content: steady }]
const schema = {
  type: 'object',
  properties: { color: { enum: ['red', 'green'] }, warm: { type: 'boolean' } },
  required: ['color', 'warm'],
}

test('list, show and ps', async () => {
  const { models } = await node.list()
  assert.ok(models.some((entry) => entry.name === model && entry.size > 1e7))
  const shown = await node.show({ model })
  assert.equal(shown.details.family, 'llama')
  assert.ok(shown.capabilities.includes('completion'))
  await node.generate({ model, prompt: '' })
  assert.ok((await node.ps()).models.some((entry) => entry.name === model))
})

test('generate and its stream say the same', async () => {
  const options = { num_predict: 12, temperature: 0 }
  const request = { model, prompt: steady, options }
  const whole = await node.generate(request)
  assert.ok(whole.response && whole.done && whole.eval_count > 0)
  let text = ''
  let last
  for await (const part of await node.generate({ ...request, stream: true })) {
    text += part.response
    last = part
  }
  assert.equal(text, whole.response)
  assert.ok(last.done)
})

test('chat and its stream say the same', async () => {
  const request = { model, messages, options: { num_predict: 12, temperature: 0 } }
  const whole = await node.chat(request)
  assert.equal(whole.message.role, 'assistant')
  let text = ''
  const stream = await node.chat({ ...request, stream: true })
  for await (const part of stream) text += part.message.content
  assert.equal(text, whole.message.content)
})

test('abort in mid-stream', async () => {
  // Bound to a format that wants thousands of tokens: the model cannot end before the client does.
  const format = { type: 'array', items: { type: 'boolean' }, minItems: 1500 }
  const options = { num_predict: 100000 }
  const stream = await node.chat({ model, messages, stream: true, format, options })
  await assert.rejects(async () => {
    let count = 0
    for await (const part of stream) {
      assert.equal(part.done, false)
      if (++count === 3) stream.abort()
    }
  }, { name: 'AbortError' })
  const reply = await node.chat({ model, messages, options: { num_predict: 1 } })
  assert.equal(reply.done_reason, 'length')
})

test('JSON schema binds the answer', async () => {
  const reply = await node.chat({ model, messages, format: schema, options: { num_predict: 60 } })
  const answer = JSON.parse(reply.message.content)
  assert.deepEqual(Object.keys(answer).sort(), ['color', 'warm'])
})

test('tools and thinking need a model that has them', async () => {
  const parameters = { type: 'object', properties: {} }
  const tools = [{ type: 'function', function: { name: 'f', description: '', parameters } }]
  await assert.rejects(node.chat({ model, messages, tools }),
    (error) => error.status_code === 400 && /does not support tools/.test(error.message))
  await assert.rejects(node.chat({ model, messages, think: true }),
    (error) => error.status_code === 400 && /does not support thinking/.test(error.message))
})

test('a thought, a call, and an answer with its result', async () => {
  await withWeatherModel('client-test-js-ollama', async (caller) => {
    const ask = { model: caller, messages: [question], tools: [tool], think: true }
    const { message, done_reason: reason } = await node.chat(ask)
    const wanted = [{ name: 'get_weather', arguments: { city: 'Paris' } }]
    const called = (calls) => calls.map(({ function: { name, arguments: values } }) =>
      ({ name, arguments: values }))
    assert.deepEqual(called(message.tool_calls), wanted)
    assert.equal(reason, 'stop')
    assert.equal(message.content, '')
    assert.ok(message.thinking)

    const parts = []
    for await (const part of await node.chat({ ...ask, stream: true })) parts.push(part)
    const thoughts = parts.map((part) => part.message.thinking).filter(Boolean)
    assert.ok(thoughts.length > 1)
    assert.equal(thoughts.join(''), message.thinking)
    const calling = parts.filter((part) => part.message.tool_calls)
    assert.deepEqual(called(calling.flatMap((part) => part.message.tool_calls)), wanted)
    assert.ok(calling.every((part) => !part.done) && parts.every((part) => !part.message.content))

    const result = { role: 'tool', tool_name: 'get_weather', content: 'sunny' }
    const next = { ...ask, messages: [question, message, result] }
    const { message: answer } = await node.chat(next)
    assert.match(answer.content, /sunny in Paris/)
    assert.ok(answer.thinking && !answer.tool_calls)
    const { message: silent } = await node.chat({ ...next, think: false })
    assert.match(silent.content, /sunny in Paris/)
    assert.ok(!silent.thinking)
  })
})

test('embeddings', async (context) => {
  const { models } = await node.list()
  const known = models.some((entry) => entry.name.startsWith('all-minilm'))
  if (!known) return context.skip('no all-minilm')
  const { embeddings } = await node.embed({ model: 'all-minilm', input: ['a', 'b'] })
  assert.equal(embeddings.length, 2)
  assert.equal(embeddings[0].length, 384)
})

test('create, copy, delete', async () => {
  const progress = []
  const wanted = { model: 'client-test-js', from: model, system: 'Be brief.' }
  for await (const line of await node.create({ ...wanted, stream: true })) {
    progress.push(line.status)
  }
  assert.equal(progress.at(-1), 'success')
  await node.copy({ source: 'client-test-js', destination: 'client-test-js-copy' })
  assert.match((await node.show({ model: 'client-test-js-copy' })).modelfile, /Be brief/)
  await node.delete({ model: 'client-test-js' })
  await node.delete({ model: 'client-test-js-copy' })
  await assert.rejects(node.show({ model: 'client-test-js' }), { status_code: 404 })
})

test('errors tell status and text', async () => {
  await assert.rejects(node.chat({ model: 'no-such-model', messages }),
    { status_code: 404, message: "model 'no-such-model' not found" })
  await assert.rejects(node.chat({ model: 'no-such-model', messages, stream: true }),
    { status_code: 404 })
  await assert.rejects(node.delete({ model: 'no-such-model' }), { status_code: 404 })
})
