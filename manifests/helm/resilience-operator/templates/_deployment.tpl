{{- /* Parts of the Deployment, as templates of their own, so that extraDeploymentSpec, extraPodSpec and extraContainerSpec
can be merged over them. */ -}}

{{/* Spec of the Deployment. */}}
{{- define "resilience-operator.deployment" -}}
replicas: {{ .Values.replicas }}
selector:
  matchLabels:
    {{- include "resilience-operator.selector" . | nindent 4 }}
strategy:
  rollingUpdate:
    maxSurge: 1
    maxUnavailable: 0
template:
  metadata:
    labels:
      {{- $labels := include "resilience-operator.selector" . | fromYaml }}
      {{- merge $labels (.Values.podLabels | default dict) (.Values.commonLabels | default dict) | toYaml | nindent 6 }}
    annotations:
      {{- $annotations := dict "kubectl.kubernetes.io/default-container" "operator" }}
      {{- /* Restarts the pods when the configuration changes. */}}
      {{- $_ := set $annotations "checksum/config" (include "resilience-operator.config" . | sha256sum) }}
      {{- merge $annotations (.Values.podAnnotations | default dict) (.Values.commonAnnotations | default dict) | toYaml | nindent 6 }}
  spec:
    {{- $pod := include "resilience-operator.pod" . }}
    {{- with .Values.extraPodSpec }}
    {{- $pod = mergeOverwrite (fromYaml $pod) . | toYaml }}
    {{- end }}
    {{- $pod | nindent 4 }}
{{- end -}}

{{/* Spec of a pod. */}}
{{- define "resilience-operator.pod" -}}
{{- $required := eq .Values.spread "Required" -}}
serviceAccountName: {{ include "resilience-operator.serviceAccount" . }}
automountServiceAccountToken: true
# Service links would set variables that start like the operator's own.
enableServiceLinks: false
# Time to finish running evaluations within their deadline and to release the Lease.
terminationGracePeriodSeconds: 30
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "resilience-operator.podSecurityContext" . | nindent 2 }}
topologySpreadConstraints:
{{- with .Values.topologySpreadConstraints }}
{{- toYaml . | nindent 0 }}
{{- else }}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  {{- if $required }}
  # Lost zones and nodes do not count, so their replicas are scheduled elsewhere. Each ReplicaSet is spread by itself.
  whenUnsatisfiable: DoNotSchedule
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  {{- else }}
  whenUnsatisfiable: ScheduleAnyway
  {{- end }}
  labelSelector:
    matchLabels:
      {{- include "resilience-operator.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
{{- if or $required .Values.tolerations }}
tolerations:
{{- if $required }}
# Replaced 20 s after the node is reported lost, instead of the usual 5 minutes.
- {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 20}
- {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 20}
{{- end }}
{{- with .Values.tolerations }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
{{- with .Values.extraInitContainers }}
initContainers:
{{- toYaml . | nindent 0 }}
{{- end }}
containers:
{{- $container := include "resilience-operator.container" . }}
{{- with .Values.extraContainerSpec }}
{{- $container = mergeOverwrite (fromYaml $container) . | toYaml }}
{{- end }}
-
  {{- $container | nindent 2 }}
{{- with .Values.extraContainers }}
{{- toYaml . | nindent 0 }}
{{- end }}
volumes:
- name: config
  {{- $config := printf "%s-config" (include "resilience-operator.fullname" .) }}
  {{- if eq .Values.configKind "Secret" }}
  secret:
    secretName: {{ $config }}
  {{- else }}
  configMap:
    name: {{ $config }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- with .Values.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The operator's container. */}}
{{- define "resilience-operator.container" -}}
{{- $name := include "resilience-operator.fullname" . -}}
name: operator
image: {{ include "resilience-operator.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
- run
- --config=/etc/resilience-operator/config.yaml
{{- range .Values.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.extraArgs }}
{{- toYaml . | nindent 0 }}
{{- end }}
env:
# Reporter of events, and holder of the Lease.
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: RESILIENCE_LEASE_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- if .Values.dryRun }}
- name: RESILIENCE_DRY_RUN
  value: "true"
{{- end }}
{{- if ne .Values.auth "none" }}
- name: RESILIENCE_AUTH
  value: {{ .Values.auth }}
{{- end }}
{{- if ne $name "resilience-operator" }}
# A host name under which the dashboard may be requested.
- name: RESILIENCE_SERVICE_NAME
  value: {{ $name }}
{{- end }}
{{- with .Values.extraEnv }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
{{- toYaml . | nindent 0 }}
{{- end }}
ports:
- name: http
  containerPort: 8080
{{- if dig "dashboard" true .Values.config }}
- name: dashboard
  containerPort: 8081
{{- end }}
# Liveness: the event loop runs. Readiness: policies and targets are synced. Neither depends on leadership or on
# Prometheus, because a restart would fix neither.
{{- with .Values.startupProbe }}
startupProbe:
  httpGet: {path: /healthz, port: http}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.livenessProbe }}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.readinessProbe }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
- name: config
  mountPath: /etc/resilience-operator
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
