// The Vercel AI SDK over /v1/responses. Unless told otherwise it refers to what was answered before
// by ids instead of sending it again.
import assert from 'node:assert/strict'
import test from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, jsonSchema, stepCountIs, streamText, tool as makeTool } from 'ai'
import { question, steady, tool, withWeatherModel } from './weather.js'

const openai = createOpenAI({ baseURL: process.env.NODE_URL + '/v1', apiKey: 'any' })
const model = 'smollm2:135m'
const call = { temperature: 0, maxOutputTokens: 8, maxRetries: 0 }

test('a second turn, whole and streamed', async () => {
  const messages = [{ role: 'user', content: steady }]
  const first = await generateText({ ...call, model: openai(model), messages })
  assert.ok(first.text)
  messages.push(...first.response.messages, { role: 'user', content: 'Once more.' })
  const second = await generateText({ ...call, model: openai(model), messages })
  assert.match(JSON.stringify(second.request.body), /"item_reference"/)
  const stream = streamText({ ...call, model: openai(model), messages })
  assert.equal(await stream.text, second.text)
})

test('a tool that the package runs', async () => {
  await withWeatherModel('client-test-js-ai-sdk', async (caller) => {
    const { name, description, parameters } = tool.function
    const asked = []
    const execute = (values) => {
      asked.push(values)
      return 'sunny'
    }
    const reply = await generateText({
      model: openai(caller), maxRetries: 0, messages: [question], stopWhen: stepCountIs(3),
      tools: { [name]: makeTool({ description, inputSchema: jsonSchema(parameters), execute }) } })
    assert.deepEqual(asked, [{ city: 'Paris' }])
    assert.match(reply.text, /sunny in Paris/)
  })
})
