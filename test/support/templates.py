"""Go templates for a small model that was trained for neither: with tools, and with thoughts."""

TOOLS = """{{- range $i, $_ := .Messages }}<|im_start|>{{ .Role }}
{{ if and (eq .Role "user") $.Tools }}Tools: {{ $.Tools }}
{{ end }}{{ .Content }}{{ if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
# The answer begins within its thoughts, and only the model can end them.
THINKS = """{{- range $i, $_ := .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ if $.Think }}<think>{{ end }}"""
# The same where the GGUF has a template that knows tools: it comes before one that does not.
THINKS_WITH_TOOLS = THINKS.replace("{{ if .Thinking }}", """\
{{ if and (eq .Role "user") $.Tools }}Tools: {{ $.Tools }}
{{ end }}{{ if .Thinking }}""")
