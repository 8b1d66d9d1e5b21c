{{/* The name that all objects' names begin with. */}}
{{- define "resilience-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What finds the operator's pods; it can never be changed, so it holds no version. */}}
{{- define "resilience-operator.selector" -}}
app.kubernetes.io/name: resilience-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Of every object. */}}
{{- define "resilience-operator.labels" -}}
app.kubernetes.io/name: resilience-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: resilience-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The objects of a file of the chart, as YAML under the key items: fromYaml reads one document. */}}
{{- define "resilience-operator.documents" -}}
items:
{{- range splitList "\n---\n" (.Files.Get .File) }}
{{- $document := fromYaml . }}
- {{ toJson $document }}
{{- end }}
{{- end -}}
