// Package helm tests the chart batholith with Helm's engine and linter, Kubernetes' types and the real program.
package helm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	scaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const minimal = `
store: {url: "postgres://batholith@db:5432/batholith", passwordSecret: {name: pg}}
s3: {endpoint: "https://s3.example.net", secret: {name: s3}}
settings:
  models:
    - {id: m, backends: [{url: "http://vllm:8000/v1", model: m}]}
`

const everything = minimal + `
tls: {secretName: cert}
api: {autoscaling: {enabled: true}}
worker: {autoscaling: {enabled: true, selector: {gen_ai_request_model: m}}}
metrics: {podMonitor: {enabled: true, labels: {release: prometheus}}}
networkPolicy: {egress: [{ipBlock: {cidr: 10.0.0.0/8}}]}
env: [{name: ALICE_SECRET, valueFrom: {secretKeyRef: {name: keys, key: alice}}}]
podAnnotations: {a: b}
`

// rendered is the chart with values, each manifest by its kind and name.
func rendered(t *testing.T, text string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load("batholith")
	if err != nil {
		t.Fatal(err)
	}
	values, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "prod", Namespace: "ml", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	manifests := map[string]string{}
	for name, content := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			manifests["notes"] = content
			continue
		}
		for _, m := range strings.Split(content, "\n---") {
			var head struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal([]byte(m), &head); err != nil {
				t.Fatalf("%s is not YAML: %v\n%s", name, err, m)
			}
			if head.Kind != "" {
				manifests[head.Kind+"/"+head.Metadata.Name] = m
			}
		}
	}
	return manifests, nil
}

// decode reads a manifest into the type of its kind, and permits no member that the type does not have.
func decode[T any](t *testing.T, manifest string) *T {
	t.Helper()
	into := new(T)
	if err := yaml.UnmarshalStrict([]byte(manifest), into); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	return into
}

func TestTheChartPassesHelmsLinter(t *testing.T) {
	for name, text := range map[string]string{"minimal": minimal, "everything": everything} {
		values, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.All("batholith", values, "ml", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestEveryManifestIsOfKubernetesTypes(t *testing.T) {
	for name, text := range map[string]string{"minimal": minimal, "everything": everything, "no volume": minimal + "worker: {persistence: {enabled: false}}\n"} {
		manifests, err := rendered(t, text)
		if err != nil {
			t.Fatal(err)
		}
		for id, m := range manifests {
			switch kind, _, _ := strings.Cut(id, "/"); kind {
			case "Deployment":
				checkPod(t, id, decode[apps.Deployment](t, m).Spec.Template)
			case "StatefulSet":
				checkPod(t, id, decode[apps.StatefulSet](t, m).Spec.Template)
			case "Service":
				decode[core.Service](t, m)
			case "ConfigMap":
				decode[core.ConfigMap](t, m)
			case "ServiceAccount":
				decode[core.ServiceAccount](t, m)
			case "HorizontalPodAutoscaler":
				decode[scaling.HorizontalPodAutoscaler](t, m)
			case "PodDisruptionBudget":
				decode[policy.PodDisruptionBudget](t, m)
			case "NetworkPolicy":
				decode[networking.NetworkPolicy](t, m)
			case "PodMonitor", "notes": // a type of the Prometheus operator
			default:
				t.Errorf("%s: the kind of %s is not expected", name, id)
			}
		}
		_, stateful := manifests["StatefulSet/prod-batholith-worker"]
		_, stateless := manifests["Deployment/prod-batholith-worker"]
		if stateful == stateless || stateless != (name == "no volume") {
			t.Errorf("%s: StatefulSet %v, Deployment %v", name, stateful, stateless)
		}
		if want := name == "everything"; want != (manifests["HorizontalPodAutoscaler/prod-batholith-worker"] != "") || want != (manifests["PodMonitor/prod-batholith-api"] != "") {
			t.Errorf("%s: autoscaling or monitoring is there without being asked for, or not there", name)
		}
	}
}

// checkPod checks what keeps a pod from losing work and from doing harm.
func checkPod(t *testing.T, id string, pod core.PodTemplateSpec) {
	t.Helper()
	c := pod.Spec.Containers[0]
	switch {
	case pod.Spec.TerminationGracePeriodSeconds == nil || *pod.Spec.TerminationGracePeriodSeconds < 60+int64(c.Lifecycle.PreStop.Sleep.Seconds):
		t.Errorf("%s: the grace period is shorter than preStop and drain", id)
	case c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz":
		t.Errorf("%s: the probes ask %s and %s", id, c.ReadinessProbe.HTTPGet.Path, c.LivenessProbe.HTTPGet.Path)
	case !*pod.Spec.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem:
		t.Errorf("%s: the container may be root or write to its image", id)
	case pod.Annotations["checksum/settings"] == "":
		t.Errorf("%s: changed settings do not restart it", id)
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil || e.Value != "" {
			t.Errorf("%s: the variable %s is not a reference to a Secret", id, e.Name)
		}
	}
	labels := fmt.Sprint(pod.Labels)
	if !strings.Contains(labels, "component") {
		t.Errorf("%s: %s", id, labels)
	}
}

func TestWhatMustBeNamedIsAskedFor(t *testing.T) {
	for missing, text := range map[string]string{"store.url": "s3: {endpoint: aws}", "s3.endpoint": "store: {url: postgres://u@h/d}"} {
		if _, err := rendered(t, text); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// The real program accepts the settings file that the chart makes.
func TestTheProgramTakesTheSettingsOfTheChart(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "batholith")
	build := exec.Command("go", "build", "-o", program, "./cmd/batholith")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	manifests, err := rendered(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	settings := decode[core.ConfigMap](t, manifests["ConfigMap/prod-batholith"]).Data["batholith.yaml"]
	file := filepath.Join(dir, "batholith.yaml")
	check := func(text string) (string, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "config", "--check", file)
		cmd.Env = append(os.Environ(), "BATHOLITH_STORE_PASSWORD=x")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if said, err := check(settings); err != nil {
		t.Errorf("%v: %s\n%s", err, said, settings)
	}
	if said, err := check(settings + "\nno_such_setting: 1\n"); err == nil || !strings.Contains(said, "no_such_setting") {
		t.Errorf("a setting that does not exist is accepted: %v: %s", err, said)
	}
}
