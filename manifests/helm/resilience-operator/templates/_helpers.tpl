{{/* Prefix of all object names. */}}
{{- define "resilience-operator.fullname" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selector of the operator's pods. It is immutable, so it contains no version. */}}
{{- define "resilience-operator.selector" -}}
app.kubernetes.io/name: resilience-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. The chart's own take precedence over commonLabels. */}}
{{- define "resilience-operator.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "resilience-operator"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/part-of" "resilience-operator"
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $own (.Values.commonLabels | default dict)) -}}
{{- end -}}

{{/* Metadata of an object: root, name, and optionally namespace ("" for none), labels and annotations. */}}
{{- define "resilience-operator.metadata" -}}
{{- $found := dict "name" .name -}}
{{- with (get . "namespace" | default (ternary "" .root.Release.Namespace (hasKey . "namespace"))) -}}
{{- $_ := set $found "namespace" . -}}
{{- end -}}
{{- $labels := include "resilience-operator.labels" .root | fromYaml -}}
{{- $_ := set $found "labels" (merge $labels (get . "labels" | default dict)) -}}
{{- with (merge (dict) (get . "annotations" | default dict) (.root.Values.commonAnnotations | default dict)) -}}
{{- $_ := set $found "annotations" . -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Name of the operator's ServiceAccount. */}}
{{- define "resilience-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "resilience-operator.fullname" .) -}}
{{- end -}}

{{/* The image. */}}
{{- define "resilience-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The operator's configuration: the value config, completed by prometheusUrl and the host names of the dashboard. */}}
{{- define "resilience-operator.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.sources -}}
{{- $source := dict "name" "default" "url" .Values.prometheusUrl "tenancy" (dict "label" "namespace") -}}
{{- $_ := set $config "sources" (list $source) -}}
{{- end -}}
{{- $hosts := $config.dashboard_hosts | default list -}}
{{- if .Values.ingress.enabled -}}
{{- $hosts = concat $hosts .Values.ingress.hosts -}}
{{- end -}}
{{- if .Values.httpRoute.enabled -}}
{{- $hosts = concat $hosts .Values.httpRoute.hostnames -}}
{{- end -}}
{{- with $hosts -}}
{{- $_ := set $config "dashboard_hosts" (uniq .) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* A pod's security context. OpenShift assigns users and groups itself and refuses fixed ones. */}}
{{- define "resilience-operator.podSecurityContext" -}}
{{- $found := .Values.podSecurityContext -}}
{{- $here := .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- if or (eq .Values.openshift "Always") (and (eq .Values.openshift "Auto") $here) -}}
{{- $found = omit $found "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* Fails on values that contradict each other, which the schema cannot express. */}}
{{- define "resilience-operator.validate" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- $replicas := int .Values.replicas -}}
{{- if and $budget.enabled (not (kindIs "invalid" $budget.minAvailable)) -}}
{{- if and (not (kindIs "string" $budget.minAvailable)) (gt $replicas 0) (ge (int $budget.minAvailable) $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %d of %d replicas, so node drains would never end: use a lower number, or maxUnavailable: 1 with minAvailable: null" (int $budget.minAvailable) $replicas) -}}
{{- end -}}
{{- end -}}
{{- if and (gt $replicas 1) (not .Values.config.leader_election) (le (int (.Values.config.shards | default 1)) 1) -}}
{{- fail (printf "config.leader_election is false with %d replicas, so each of them would act: set it to true, or replicas to 1" $replicas) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: set serviceAccount.name to the account that you manage" -}}
{{- end -}}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (not (dig "dashboard" true .Values.config)) -}}
{{- fail "ingress and httpRoute publish the dashboard, and config.dashboard is false: keep one of them" -}}
{{- end -}}
{{- end -}}

{{/* The objects in a file of the chart, as YAML under the key items, because fromYaml reads one document only. */}}
{{- define "resilience-operator.documents" -}}
items:
{{- range splitList "\n---\n" (.Files.Get .File) }}
{{- $document := fromYaml . }}
- {{ toJson $document }}
{{- end }}
{{- end -}}
