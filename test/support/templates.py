"""Go templates for a small model that was trained for neither: with tools, and with thoughts."""

# It looks for the results of calls: a GGUF's template that does comes before one that does not.
TOOLS = """{{- range $i, $_ := .Messages }}<|im_start|>
{{- if eq .Role "tool" }}tool{{ else }}{{ .Role }}{{ end }}
{{ if and (eq .Role "user") $.Tools }}Tools: {{ $.Tools }}
{{ end }}{{ .Content }}{{ if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
# A call begins with a control token and more, as Mistral's do: llama-server does not show the token
# unless it is asked for, by itself. This one the small model does say.
TOOLS_BEHIND_A_TOKEN = TOOLS.replace("<tool_call>\n", "<|im_start|>[").replace("</tool_call>", "]")
# The answer begins within its thoughts, and only the model can end them.
THINKS = """{{- range $i, $_ := .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ if $.Think }}<think>{{ end }}"""
# The same where the GGUF has a template that knows tools: it comes before one that does not.
THINKS_WITH_TOOLS = THINKS.replace("{{ if .Thinking }}", """\
{{ if and (eq .Role "user") $.Tools }}Tools: {{ $.Tools }}
{{ end }}{{ if .Thinking }}""")
