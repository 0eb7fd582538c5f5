package programs_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// airflow needs boto3, whose waiters are Airflow's. Where it cannot be installed, the test is skipped.
func (s *site) airflow(t *testing.T) {
	const knows = `import botocore.session
assert "modelInvocationType" in botocore.session.get_session().get_service_model("bedrock").operation_model("CreateModelInvocationJob").input_shape.members`
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3\n"+knows).Run(); err != nil {
		t.Skip("boto3 is not here, or too old to know batch inference; make deps installs it where a package index can be reached")
	}
	if out, err := s.run(t, "python3", []string{"airflow.py"}); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// run runs a program that finds the server by AWS's variables, and returns what it printed.
func (s *site) run(t *testing.T, name string, args []string, env ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environment(env...), &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.String(), err
}

// environment tells a program of the server, and nothing of the machine's own settings.
func (s *site) environment(more ...string) []string {
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(append(kept, "AWS_ENDPOINT_URL_BEDROCK="+s.At.Bedrock, "AWS_ENDPOINT_URL_S3="+s.At.S3, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_ACCESS_KEY_ID="+s.At.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+s.At.SecretAccessKey, "AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true", "QUICK="+quick, "HELD="+held, "ROLE="+role,
		"INPUT=s3://batholith/in/", "OUTPUT=s3://batholith/airflow/"), more...)
}
