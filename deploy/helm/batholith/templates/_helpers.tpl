{{- define "batholith.name" -}}
{{- if contains "batholith" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-batholith" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "batholith.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{ include "batholith.selector" . }}
{{- end }}

{{- define "batholith.selector" -}}
app.kubernetes.io/name: batholith
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "batholith.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "batholith.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The settings file: the user's settings, and over them what the chart decides. */}}
{{- define "batholith.settings" -}}
{{- $s3 := dict "endpoint" (required "s3.endpoint: name the S3 of inputs and outputs" .Values.s3.endpoint) "region" .Values.s3.region "path_style" .Values.s3.pathStyle -}}
{{- $ours := dict "data" "/data" "listen" "0.0.0.0:4600" "s3" $s3 "store" (required "store.url: name the PostgreSQL database" .Values.store.url)
  "drain" (printf "%ds" (int .Values.drainSeconds)) "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port))) -}}
{{- if .Values.store.passwordSecret.name }}{{ $_ := set $ours "store_password_env" "BATHOLITH_STORE_PASSWORD" }}{{ end -}}
{{- if .Values.tls.secretName }}{{ $_ := set $ours "tls" (dict "cert" "/tls/tls.crt" "key" "/tls/tls.key") }}{{ else }}{{ $_ := set $ours "insecure" true }}{{ end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $ours) }}
{{- end }}

{{/* A pod of a role: (dict "root" $ "role" "api" "values" .Values.api "volume" true|false) */}}
{{- define "batholith.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "batholith.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    # Changed settings restart the pods one after the other.
    checksum/settings: {{ include "batholith.settings" $root | sha256sum }}
    {{- with $root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "batholith.account" $root }}
  automountServiceAccountToken: {{ $root.Values.serviceAccount.automountToken }}
  terminationGracePeriodSeconds: {{ add (int $root.Values.drainSeconds) 30 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: batholith
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve, --config, /etc/batholith/batholith.yaml, --roles, {{ .role }}, --log-format, json]
      env:
        {{- with $root.Values.store.passwordSecret }}
        {{- if .name }}
        - name: BATHOLITH_STORE_PASSWORD
          valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
        {{- end }}
        {{- end }}
        {{- with $root.Values.s3.secret }}
        {{- if .name }}
        - name: AWS_ACCESS_KEY_ID
          valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .accessKeyID }}}}
        - name: AWS_SECRET_ACCESS_KEY
          valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .secretAccessKey }}}}
        {{- end }}
        {{- end }}
        {{- with $root.Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: api, containerPort: 4600}
        - {name: metrics, containerPort: {{ $root.Values.metrics.port }}}
      {{- $scheme := ternary "HTTPS" "HTTP" (ne $root.Values.tls.secretName "") }}
      # A migration of a large database, or a long journal, may take its time at the start.
      startupProbe:
        httpGet: {path: /healthz, port: api, scheme: {{ $scheme }}}
        periodSeconds: 5
        failureThreshold: 120
      livenessProbe:
        httpGet: {path: /healthz, port: api, scheme: {{ $scheme }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: api, scheme: {{ $scheme }}}
        periodSeconds: 5
        timeoutSeconds: 5
      lifecycle:
        preStop:
          sleep: {seconds: 5} # until the Service sends no more calls
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        - {name: settings, mountPath: /etc/batholith, readOnly: true}
        {{- if $root.Values.tls.secretName }}
        - {name: tls, mountPath: /tls, readOnly: true}
        {{- end }}
  volumes:
    {{- if not .volume }}
    - {name: data, emptyDir: {}}
    {{- end }}
    - {name: tmp, emptyDir: {}}
    - name: settings
      configMap: {name: {{ include "batholith.name" $root }}}
    {{- with $root.Values.tls.secretName }}
    - name: tls
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
