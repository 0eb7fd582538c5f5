package bedrock

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// valid is a request in which every member is set and right.
const valid = `{
	"jobName": "job-1", "roleArn": "arn:aws:iam::000000000000:role/batch", "clientRequestToken": "token-1",
	"modelId": "anthropic.claude-3-haiku-20240307-v1:0",
	"inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": "s3://in-bucket/in.jsonl", "s3BucketOwner": "000000000000"}},
	"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://out-bucket/out/", "s3EncryptionKeyId": "alias/key", "s3BucketOwner": "000000000000"}},
	"vpcConfig": {"subnetIds": ["subnet-0a"], "securityGroupIds": ["sg-0a"]},
	"timeoutDurationInHours": 24, "tags": [{"key": "team", "value": ""}], "modelInvocationType": "Converse"}`

// with returns the valid request with one member replaced: path is its names joined by dots, a number one of a list.
// The value "absent" takes it out.
func with(t *testing.T, path, value string) string {
	t.Helper()
	var root any
	if err := json.Unmarshal([]byte(valid), &root); err != nil {
		t.Fatal(err)
	}
	names := strings.Split(path, ".")
	at := root
	for _, n := range names[:len(names)-1] {
		if list, ok := at.([]any); ok {
			at = list[0]
			continue
		}
		at = at.(map[string]any)[n]
	}
	object, last := at.(map[string]any), names[len(names)-1]
	if value == "absent" {
		delete(object, last)
	} else {
		object[last] = json.RawMessage(value)
	}
	b, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// create sends a body and returns the code and message of the refusal, empty when there was none.
func create(t *testing.T, p Profile, body string) (code, message string) {
	t.Helper()
	w := newTester(p).send(t, "POST", "/model-invocation-job", body)
	var said struct{ Message string }
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return w.Header().Get("x-amzn-ErrorType"), said.Message
}

// quoted is a string of n letters.
func quoted(n int) string { return `"` + strings.Repeat("a", n) + `"` }

func listOf(of string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(of+",", n), ",") + "]"
}

func TestEveryConstraintHolds(t *testing.T) {
	const (
		long  = "Member must have length less than or equal to "
		short = "Member must have length greater than or equal to "
		regex = "Member must satisfy regular expression pattern: "
		null  = "Member must not be null"
	)
	tag := `{"key":"k","value":"v"}`
	for _, c := range []struct{ path, value, at, says string }{
		{"jobName", "absent", "jobName", null},
		{"jobName", "null", "jobName", null},
		{"jobName", `""`, "jobName", short + "1"},
		{"jobName", quoted(64), "jobName", long + "63"},
		{"jobName", `"a b"`, "jobName", regex + `[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}`},
		{"jobName", `"a_b"`, "jobName", regex},
		{"jobName", `"-a"`, "jobName", regex},
		{"jobName", `"a\n"`, "jobName", regex},
		{"roleArn", "absent", "roleArn", null},
		{"roleArn", `"batch"`, "roleArn", regex},
		{"roleArn", `"arn:aws:iam::1:role/batch"`, "roleArn", regex},
		{"roleArn", `"arn:aws:iam::000000000000:role/` + strings.Repeat("a", 2048) + `"`, "roleArn", long + "2048"},
		{"clientRequestToken", `""`, "clientRequestToken", short + "1"},
		{"clientRequestToken", quoted(257), "clientRequestToken", long + "256"},
		{"clientRequestToken", `"a-"`, "clientRequestToken", regex},
		{"clientRequestToken", `"a_b"`, "clientRequestToken", regex},
		{"modelId", "absent", "modelId", null},
		{"modelId", `""`, "modelId", short + "1"},
		{"modelId", quoted(2049), "modelId", long + "2048"},
		{"modelId", `"  "`, "modelId", regex},
		{"inputDataConfig", "absent", "inputDataConfig", null},
		{"inputDataConfig", "{}", "inputDataConfig", "Member must have exactly one of these set"},
		{"inputDataConfig", `{"s3InputDataConfig":null}`, "inputDataConfig", "Member must have exactly one of these set"},
		{"inputDataConfig", `{"s3InputDataConfig":{"s3Uri":"s3://in-bucket/"},"other":{}}`, "inputDataConfig", "Member must have exactly one of these set"},
		{"inputDataConfig.s3InputDataConfig.s3Uri", "absent", "inputDataConfig.s3InputDataConfig.s3Uri", null},
		{"inputDataConfig.s3InputDataConfig.s3Uri", `""`, "inputDataConfig.s3InputDataConfig.s3Uri", short + "1"},
		{"inputDataConfig.s3InputDataConfig.s3Uri", `"http://in/in.jsonl"`, "inputDataConfig.s3InputDataConfig.s3Uri", regex},
		{"inputDataConfig.s3InputDataConfig.s3Uri", `"s3://in-bucket/` + strings.Repeat("a", 1300) + `"`, "inputDataConfig.s3InputDataConfig.s3Uri", long},
		{"inputDataConfig.s3InputDataConfig.s3InputFormat", `"CSV"`, "inputDataConfig.s3InputDataConfig.s3InputFormat", "Member must satisfy enum value set: [JSONL]"},
		{"inputDataConfig.s3InputDataConfig.s3BucketOwner", `"1"`, "inputDataConfig.s3InputDataConfig.s3BucketOwner", regex + "[0-9]{12}"},
		{"outputDataConfig", "absent", "outputDataConfig", null},
		{"outputDataConfig", "{}", "outputDataConfig", "Member must have exactly one of these set"},
		{"outputDataConfig.s3OutputDataConfig.s3Uri", "absent", "outputDataConfig.s3OutputDataConfig.s3Uri", null},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", `""`, "outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", short + "1"},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", quoted(2049), "outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", long + "2048"},
		{"outputDataConfig.s3OutputDataConfig.s3BucketOwner", `"abcdefghijkl"`, "outputDataConfig.s3OutputDataConfig.s3BucketOwner", regex},
		{"vpcConfig.subnetIds", "absent", "vpcConfig.subnetIds", null},
		{"vpcConfig.subnetIds", "[]", "vpcConfig.subnetIds", short + "1"},
		{"vpcConfig.subnetIds", listOf(`"s"`, 17), "vpcConfig.subnetIds", long + "16"},
		{"vpcConfig.subnetIds", `["a","b_"]`, "vpcConfig.subnetIds.2.member", regex + "[-0-9a-zA-Z]+"},
		{"vpcConfig.subnetIds", `[""]`, "vpcConfig.subnetIds.1.member", regex},
		{"vpcConfig.subnetIds", `[null]`, "vpcConfig.subnetIds.1.member", null},
		{"vpcConfig.subnetIds", "[" + quoted(33) + "]", "vpcConfig.subnetIds.1.member", long + "32"},
		{"vpcConfig.securityGroupIds", "absent", "vpcConfig.securityGroupIds", null},
		{"vpcConfig.securityGroupIds", "[]", "vpcConfig.securityGroupIds", short + "1"},
		{"vpcConfig.securityGroupIds", listOf(`"s"`, 6), "vpcConfig.securityGroupIds", long + "5"},
		{"vpcConfig.securityGroupIds", "[" + quoted(33) + "]", "vpcConfig.securityGroupIds.1.member", long + "32"},
		{"timeoutDurationInHours", "0", "timeoutDurationInHours", "Member must have value greater than or equal to 24"},
		{"timeoutDurationInHours", "23", "timeoutDurationInHours", "Member must have value greater than or equal to 24"},
		{"timeoutDurationInHours", "169", "timeoutDurationInHours", "Member must have value less than or equal to 168"},
		{"tags", listOf(tag, 201), "tags", long + "200"},
		{"tags", `[{"value":"v"}]`, "tags.1.member.key", null},
		{"tags", `[` + tag + `,{"key":"k"}]`, "tags.2.member.value", null},
		{"tags", `[{"key":"","value":"v"}]`, "tags.1.member.key", short + "1"},
		{"tags", `[{"key":` + quoted(129) + `,"value":"v"}]`, "tags.1.member.key", long + "128"},
		{"tags", `[{"key":"k","value":` + quoted(257) + `}]`, "tags.1.member.value", long + "256"},
		{"tags", `[{"key":"a*","value":"v"}]`, "tags.1.member.key", regex + `[a-zA-Z0-9\s._:/=+@-]*`},
		{"tags", `[{"key":"k","value":"é"}]`, "tags.1.member.value", regex},
		{"modelInvocationType", `"Invoke"`, "modelInvocationType", "Member must satisfy enum value set: [InvokeModel, Converse]"},
	} {
		code, message := create(t, ProfileDefault, with(t, c.path, c.value))
		if code != CodeValidation {
			t.Errorf("%s = %.40s: %s %q", c.path, c.value, code, message)
		}
		if !strings.Contains(message, "at '"+c.at+"' failed to satisfy constraint: "+c.says) {
			t.Errorf("%s = %.40s: %q does not say %q of %s", c.path, c.value, message, c.says, c.at)
		}
	}
}

func TestValuesAtTheBoundsAreAccepted(t *testing.T) {
	for _, c := range []struct{ path, value string }{
		{"jobName", quoted(63)}, {"jobName", `"a"`}, {"jobName", `"0+-."`},
		{"clientRequestToken", quoted(256)}, {"clientRequestToken", "absent"}, {"clientRequestToken", "null"},
		{"roleArn", `"arn:aws-cn:iam::000000000000:role/path/to/batch"`}, {"roleArn", `"arn:aws:iam:::role/batch"`},
		{"modelId", quoted(2048)}, {"modelId", `"Qwen/Qwen2.5-7B-Instruct"`}, {"modelId", `"ein Modell"`},
		{"inputDataConfig", `{"s3InputDataConfig":{"s3Uri":"s3://in-bucket/"},"other":null}`},
		{"inputDataConfig.s3InputDataConfig.s3InputFormat", "null"},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", "null"},
		{"vpcConfig", "null"}, {"vpcConfig.subnetIds", listOf(quoted(32), 16)}, {"vpcConfig.securityGroupIds", listOf(`"s"`, 5)},
		{"timeoutDurationInHours", "168"}, {"timeoutDurationInHours", "24.0"}, {"timeoutDurationInHours", "null"},
		{"tags", "[]"}, {"tags", listOf(`{"key":"k","value":"v"}`, 200)}, {"tags", `[{"key":" a.b_c:/=+@-","value":"","other":1}]`},
		{"modelInvocationType", `"InvokeModel"`}, {"somethingNew", `{"a":[1]}`},
	} {
		if code, message := create(t, ProfileDefault, with(t, c.path, c.value)); code != "" {
			t.Errorf("%s = %.40s: %s %q", c.path, c.value, code, message)
		}
	}
}

func TestAnotherTypeIsASerializationException(t *testing.T) {
	for _, c := range []struct{ path, value, says string }{
		{"jobName", "1", "Value '1' at 'jobName' failed to satisfy constraint: Member must be a string"},
		{"timeoutDurationInHours", `"24"`, "Value '24' at 'timeoutDurationInHours' failed to satisfy constraint: Member must be an integer"},
		{"timeoutDurationInHours", "24.5", "Member must be an integer"},
		{"timeoutDurationInHours", "1e99", "Member must be an integer"},
		{"timeoutDurationInHours", "true", "Member must be an integer"},
		{"tags", "{}", "Member must be a list"},
		{"tags", `["a"]`, "at 'tags.1.member' failed to satisfy constraint: Member must be an object"},
		{"vpcConfig", "[]", "Member must be an object"},
		{"vpcConfig.subnetIds", "[1]", "at 'vpcConfig.subnetIds.1.member' failed to satisfy constraint: Member must be a string"},
		{"inputDataConfig", `"s3://in-bucket/"`, "Member must be an object"},
		{"modelInvocationType", "true", "Member must be a string"},
	} {
		code, message := create(t, ProfileDefault, with(t, c.path, c.value))
		if code != CodeSerialization || !strings.Contains(message, c.says) {
			t.Errorf("%s = %s: %s %q", c.path, c.value, code, message)
		}
	}
}

func TestEveryViolationIsToldAtOnce(t *testing.T) {
	code, message := create(t, ProfileDefault, `{"jobName":"x y","timeoutDurationInHours":1,"tags":[{"key":""}],
		"inputDataConfig":{"s3InputDataConfig":{"s3Uri":"x"}},"outputDataConfig":{},"modelId":"m"}`)
	want := "7 validation errors detected: " +
		`Value 'x y' at 'jobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}; ` +
		"Value null at 'roleArn' failed to satisfy constraint: Member must not be null; " +
		`Value 'x' at 'inputDataConfig.s3InputDataConfig.s3Uri' failed to satisfy constraint: Member must satisfy regular expression pattern: s3://[a-zA-Z0-9][-._a-zA-Z0-9]{1,253}[a-zA-Z0-9](?:/[^\x00]*)?; ` +
		"Value '{}' at 'outputDataConfig' failed to satisfy constraint: Member must have exactly one of these set: [s3OutputDataConfig]; " +
		"Value '1' at 'timeoutDurationInHours' failed to satisfy constraint: Member must have value greater than or equal to 24; " +
		"Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
		"Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"
	if code != CodeValidation || message != want {
		t.Errorf("%s\ngot  %s\nwant %s", code, message, want)
	}
	if code, message := create(t, ProfileDefault, `{"jobName":1}`); code != CodeSerialization || !strings.HasPrefix(message, "5 validation errors detected: ") {
		t.Errorf("%s %s", code, message)
	}
	if _, message := create(t, ProfileDefault, with(t, "jobName", `"a b"`)); !strings.HasPrefix(message, "1 validation error detected: ") {
		t.Error(message)
	}
}

func TestAnAnswerDoesNotGrowWithTheRequest(t *testing.T) {
	for _, value := range []string{listOf(`{"key":"","value":"*"}`, 20000), `"` + strings.Repeat("ü", 200000) + `"`} {
		_, message := create(t, ProfileDefault, with(t, "tags", value))
		if len(message) > 100_000 {
			t.Errorf("%d bytes in answer to %d", len(message), len(value))
		}
	}
}

// The ids and URIs of the published patterns, as real accounts take and refuse them.
func TestPublishedPatterns(t *testing.T) {
	const uri = "inputDataConfig.s3InputDataConfig.s3Uri"
	for _, c := range []struct {
		path, value string
		aws         bool // taken with the profile aws
	}{
		{"modelId", "anthropic.claude-3-haiku-20240307-v1:0", true},
		{"modelId", "amazon.nova-micro-v1:0:128k", true},
		{"modelId", "minimax.minimax-m2.1", true},
		{"modelId", "us.anthropic.claude-3-haiku-20240307-v1:0", true},
		{"modelId", "global.anthropic.claude-sonnet-4-20250514-v1:0", true},
		{"modelId", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", true},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0", true},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", true},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-micro-v1:0/abcdefghijkl", true},
		{"modelId", "my_model-1", true},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl", false},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl", false},
		{"modelId", "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abcdefghijkl", false},
		{"modelId", "global.openai.gpt-5.6-sol", false},
		{"modelId", "Qwen/Qwen2.5-7B-Instruct", false},
		{"modelId", "Qwen2.5-7B", false},
		{uri, "s3://bucket", true},
		{uri, "s3://bucket/", true},
		{uri, "s3://bucket/a/b!-_*'().jsonl", true},
		{uri, "s3://my.bucket-1/in/", true},
		{uri, "s3://bucket/a b.jsonl", false},
		{uri, "s3://bucket/dt=2026-01-01/a.jsonl", false},
		{uri, "s3://bucket/a+b", false},
		{uri, "s3://bucket/a:b", false},
		{uri, "s3://bucket/a@b", false},
		{uri, "s3://bucket/a&b", false},
		{uri, "s3://bucket/a,b", false},
		{uri, "s3://bucket/a//b", false},
		{uri, "s3://my_bucket/a", false},
		{uri, "s3://bucket/schlüssel.jsonl", false},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef", true},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", "01234567-89ab-cdef-0123-456789abcdef", true},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", "alias/my-key", true},
		{"outputDataConfig.s3OutputDataConfig.s3EncryptionKeyId", "my-key", false},
	} {
		body := with(t, c.path, fmt.Sprintf("%q", c.value))
		if code, message := create(t, ProfileAWS, body); (code == "") != c.aws {
			t.Errorf("profile aws, %s = %s: %s %s", c.path, c.value, code, message)
		}
		if code, message := create(t, ProfileDefault, body); code != "" {
			t.Errorf("profile default, %s = %s: %s %s", c.path, c.value, code, message)
		}
	}
	for _, bad := range []string{"s3://", "s3://b", "s3:///key", "s3://bucket/a\\u0000b", "bucket/key", " s3://bucket/key"} {
		if code, _ := create(t, ProfileDefault, with(t, uri, `"`+bad+`"`)); code != CodeValidation {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestLengthsAreInCharacters(t *testing.T) {
	if code, m := create(t, ProfileDefault, with(t, "modelId", `"`+strings.Repeat("ü", 2048)+`"`)); code != "" {
		t.Error(code, m)
	}
}

func TestTheSettingsBoundTheTimeout(t *testing.T) {
	l := batholith.Limits{MinTimeoutHours: 1, MaxTimeoutHours: 12}
	r := rulesFor(ProfileAWS, l)
	if got, want := r.timeoutHours, (rangeRule{1, 12}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := rulesFor(ProfileAWS, batholith.Limits{}).timeoutHours, (rangeRule{24, 168}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
