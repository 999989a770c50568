{{/* The release's own name: its name, with the chart's where that says more. */}}
{{- define "trailproxy.name" -}}
{{- if contains "trailproxy" .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-trailproxy" .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* By what the proxy's pods are found: those of the gateway, or whoever has a sidecar. */}}
{{- define "trailproxy.selector" -}}
{{- if eq .Values.mode "sidecar" -}}
trailproxy: sidecar
{{- else -}}
app.kubernetes.io/name: trailproxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end -}}

{{- define "trailproxy.labels" -}}
app.kubernetes.io/name: trailproxy
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* trailproxy.yaml, with the templates in it filled. */}}
{{- define "trailproxy.config" -}}
{{- tpl (toYaml .Values.config) . -}}
{{- end -}}

{{/* The ports it listens on: {name, port, tls}, as JSON; unix sockets have none. */}}
{{- define "trailproxy.ports" -}}
{{- $ports := list -}}
{{- range (include "trailproxy.config" . | fromYaml).listeners -}}
{{- if not (hasPrefix "unix:" .bind) -}}
{{- $ports = append $ports (dict "name" .name "port" (regexFind "[0-9]+$" .bind | int) "tls" (hasKey . "tls")) -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{- define "trailproxy.adminPort" -}}
{{- regexFind "[0-9]+$" (include "trailproxy.config" . | fromYaml).admin.bind -}}
{{- end -}}

{{/* How the kubelet asks it. */}}
{{- define "trailproxy.adminScheme" -}}
{{- ternary "HTTPS" "HTTP" (hasKey (include "trailproxy.config" . | fromYaml).admin "tls") -}}
{{- end -}}

{{/* The namespaces whose EndpointSlices it follows, as JSON. */}}
{{- define "trailproxy.namespaces" -}}
{{- $found := list -}}
{{- range regexFindAll "k8s:[a-z0-9-]+/" (include "trailproxy.config" .) -1 -}}
{{- $found = append $found (trimSuffix "/" (trimPrefix "k8s:" .)) -}}
{{- end -}}
{{- $found | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- define "trailproxy.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else -}}
{{- ternary (include "trailproxy.name" .) "default" .Values.serviceAccount.create -}}
{{- end -}}
{{- end -}}

{{/* What the container is in both modes. */}}
{{- define "trailproxy.container" -}}
name: trailproxy
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, -c, /etc/trailproxy/trailproxy.yaml]
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- range include "trailproxy.ports" . | fromJsonArray }}
  - { name: {{ .name }}, containerPort: {{ .port }} }
  {{- end }}
  - { name: admin, containerPort: {{ include "trailproxy.adminPort" . }} }
# Passed once the configuration is read and the listeners are bound: a bad one stops a rollout here.
startupProbe:
  httpGet: { path: /readyz, port: admin, scheme: {{ include "trailproxy.adminScheme" . }} }
  periodSeconds: 1
  failureThreshold: 30
# Fails while draining.
readinessProbe:
  httpGet: { path: /readyz, port: admin, scheme: {{ include "trailproxy.adminScheme" . }} }
  periodSeconds: 2
  failureThreshold: 1
# Slow to judge: a restart costs every stream in flight.
livenessProbe:
  httpGet: { path: /healthz, port: admin, scheme: {{ include "trailproxy.adminScheme" . }} }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - { name: trailproxy, mountPath: /etc/trailproxy, readOnly: true }
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
For another chart: the init container that is the sidecar. The pod needs the volume below, the
label `trailproxy: sidecar`, and a terminationGracePeriodSeconds above what preStop and
drain_timeout take together; its app sleeps in preStop for longer than those.
*/}}
{{- define "trailproxy.sidecar" -}}
{{- $admin := (include "trailproxy.config" . | fromYaml).admin -}}
{{- if or (hasKey $admin "token") (hasKey $admin "token_file") (hasKey $admin "tls") -}}
{{- fail "config.admin: the preStop of a sidecar has neither a token nor TLS to drain it with" -}}
{{- end -}}
{{ include "trailproxy.container" . }}
restartPolicy: Always
lifecycle:
  preStop:
    exec:
      command:
        - python
        - -c
        - |
          import time, http.client
          time.sleep(5)
          admin = http.client.HTTPConnection("127.0.0.1", {{ include "trailproxy.adminPort" . }}, timeout=2)
          admin.request("POST", "/drain")
          admin.getresponse()
{{- end -}}

{{- define "trailproxy.volumes" -}}
- name: trailproxy
  configMap: { name: {{ include "trailproxy.name" . }} }
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
