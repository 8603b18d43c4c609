// A model that thinks, calls a tool by its own choice and answers with the result: it copies what
// its messages show, by far the likeliest text there. The openai package cannot make models.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Ollama } from 'ollama'

const { create, tool } = JSON.parse(readFileSync(new URL('weather.json', import.meta.url)))
const node = new Ollama({ host: process.env.NODE_URL })

// Its likeliest answer is far likelier than any other, so that the runner's cache, which changes
// the last digits of all figures, does not change it.
export const steady = 'Repeat: one two three four five six seven eight nine ten.'
export { tool }
export const question = { role: 'user', content: 'Weather in Paris?' }

export async function withWeatherModel(name, use) {
  assert.equal((await node.create({ model: name, ...create })).status, 'success')
  try {
    await use(name)
  } finally {
    await node.delete({ model: name })
  }
}
