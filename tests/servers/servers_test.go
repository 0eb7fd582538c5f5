package servers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// missing says why llama.cpp cannot be used; "": it can.
var missing = sync.OnceValue(func() string {
	out, err := exec.Command("node", "check.mjs").CombinedOutput()
	if err == nil {
		return ""
	}
	return fmt.Sprintf("llama.cpp is not here, or does not run on this machine; make deps installs it where npm's registry can be reached: %v\n%s", err, out)
})

// needEngine skips the test where llama.cpp is not installed or does not run. In CI it fails.
func needEngine(t *testing.T) {
	t.Helper()
	why := missing()
	if why == "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// engine returns the command of a server with these flags, as a YAML list.
func engine(t *testing.T, flags ...string) string {
	t.Helper()
	weights, err := filepath.Abs("../../internal/tinylm/tiny-v1.gguf")
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("server.mjs")
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(append([]string{"node", here, weights, "{port}"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	return string(list)
}

// model returns the settings of a model.
func model(id, family, protocol, command string) string {
	return fmt.Sprintf("  - {id: %s, family: %s, backends: [{exec: %s, protocol: %s, model: tiny-v1}]}\n", id, family, command, protocol)
}

// protocol is one that the server speaks. raw: it can send a prompt that is templated already.
type protocol struct {
	name string
	raw  bool
}

// protocols returns those that a backend may have.
func protocols() []protocol {
	return slices.DeleteFunc([]protocol{{"openai", true}, {"anthropic", false}, {"ollama", true}}, func(p protocol) bool {
		return !slices.Contains(dialect.Protocols(), p.name)
	})
}

// families are those of chat models, each with a body and the place of the answer's text. The bodies of raw families are templated prompts.
var families = []struct {
	name string
	raw  bool
	body func(question string) string
	text func(output string) string
}{
	{"openai", false, func(q string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":%s}],"max_tokens":90}`, q)
	}, at("choices", "message", "content")},
	{"gpt-oss", false, func(q string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":%s}],"max_tokens":90}`, q)
	}, at("choices", "message", "content")},
	{"jamba", false, func(q string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":%s}],"max_tokens":90}`, q)
	}, at("choices", "message", "content")},
	{"anthropic", false, func(q string) string {
		return fmt.Sprintf(`{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":%s}],"max_tokens":90}`, q)
	}, at("content", "text")},
	{"nova", false, func(q string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":%s}]}],"inferenceConfig":{"maxTokens":90}}`, q)
	}, at("output", "message", "content", "text")},
	{"titan-text", false, func(q string) string {
		return fmt.Sprintf(`{"inputText":%s,"textGenerationConfig":{"maxTokenCount":90}}`, q)
	}, at("results", "outputText")},
	{"cohere", false, func(q string) string { return fmt.Sprintf(`{"message":%s,"max_tokens":90}`, q) }, at("text")},
	{"llama", true, func(q string) string { return fmt.Sprintf(`{"prompt":%s,"max_gen_len":90}`, q) }, at("generation")},
	{"mistral", true, func(q string) string { return fmt.Sprintf(`{"prompt":%s,"max_tokens":90}`, q) }, at("outputs", "text")},
	{"deepseek-r1", true, func(q string) string { return fmt.Sprintf(`{"prompt":%s,"max_tokens":90}`, q) }, at("choices", "text")},
}

// at returns the text at a path of an answer; of lists the first entry is taken.
func at(path ...string) func(string) string {
	return func(output string) string {
		var v any
		if json.Unmarshal([]byte(output), &v) != nil {
			return "no JSON: " + output
		}
		for _, name := range path {
			if list, ok := v.([]any); ok && len(list) > 0 {
				v = list[0]
			}
			v, _ = v.(map[string]any)[name]
		}
		text, ok := v.(string)
		if !ok {
			return fmt.Sprintf("no text at %v: %s", path, output)
		}
		return text
	}
}

// asked are questions that the model was made for, over texts that it was not trained on.
func asked(t *testing.T) (questions []string) {
	t.Helper()
	table, err := os.ReadFile("../../internal/tinylm/training/heldout.tsv")
	if err != nil {
		t.Fatal(err)
	}
	ask := map[string]string{"sentiment": "Is this review positive, negative or neutral? ", "lang": "Which language is this? ",
		"route": "Which team should get this ticket: billing, shipping, technical, account or other? "}
	for i, row := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		if cells := strings.Split(row, "\t"); i%3 == 0 && len(cells) == 3 {
			questions = append(questions, ask[cells[0]]+cells[2])
		}
	}
	if len(questions) < 50 {
		t.Fatalf("%d questions", len(questions))
	}
	return questions
}

// quoted is a question as JSON; templated: in the chat template of the model's file.
func quoted(question string, templated bool) string {
	if templated {
		question = "<|user|>" + question + "<|end|><|assistant|>"
	}
	text, _ := json.Marshal(question)
	return string(text)
}

// input returns the records of questions.
func input(questions []string, raw bool, body func(string) string) []byte {
	var b strings.Builder
	for i, q := range questions {
		fmt.Fprintf(&b, "{\"recordId\":\"%d\",\"modelInput\":%s}\n", i, body(quoted(q, raw)))
	}
	return []byte(b.String())
}

// job is a job that was created.
type job struct{ arn, input string }

// create uploads records and creates a job.
func create(s *harness.Server, model string, records []byte, typ types.ModelInvocationType) job {
	key := "in/" + model + string(typ) + ".jsonl"
	s.Put(key, records)
	name := strings.ReplaceAll(model, ".", "-") + "-" + string(typ)
	return job{input: model + string(typ) + ".jsonl", arn: s.Create(key, func(in *bedrock.CreateModelInvocationJobInput) {
		in.JobName, in.ModelId, in.ModelInvocationType = &name, &model, typ
	})}
}

// answers waits for a job's end, which must be Completed, and returns its lines.
func answers(t *testing.T, s *harness.Server, j job) []harness.Line {
	t.Helper()
	ended := s.End(j.arn)
	if ended.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("%s ended %s: %s\n%s", aws.ToString(ended.ModelId), ended.Status, harness.Told(ended), s.Log())
	}
	return s.Lines(j.arn, j.input+".out")
}

// texts returns the answers' texts.
func texts(t *testing.T, s *harness.Server, j job, text func(string) string) (all []string) {
	t.Helper()
	for _, l := range answers(t, s, j) {
		if l.Error != nil {
			all = append(all, fmt.Sprintf("error %d: %s", l.Error.ErrorCode, l.Error.ErrorMessage))
			continue
		}
		all = append(all, text(string(l.ModelOutput)))
	}
	return all
}

// agree counts the equal answers.
func agree(a, b []string) (n int) {
	for i := range a {
		if i < len(b) && a[i] == b[i] {
			n++
		}
	}
	return n
}

// Every chat family, and Converse, gets from llama.cpp the answers that the embedded engine gives to the same questions, through each protocol.
func TestARealEngineAnswersEveryFamilyAsTheEmbeddedOne(t *testing.T) {
	needEngine(t)
	command := engine(t)
	settings := "models:\n"
	for _, p := range protocols() {
		for _, f := range families {
			if p.raw || !f.raw {
				settings += model(p.name+"-"+f.name, f.name, p.name, command)
			}
		}
	}
	s := harness.Start(t, settings)
	questions := asked(t)
	few := questions[:4]
	own := create(s, "batholith.tiny-v1", input(questions, false, families[0].body), types.ModelInvocationTypeInvokeModel)
	type made struct {
		name  string
		asked int
		job
		text func(string) string
	}
	var jobs []made
	for _, p := range protocols() {
		for _, f := range families {
			if !f.raw || p.raw {
				id, ask := p.name+"-"+f.name, few
				if f.name == "openai" { // the others show that the translation is right
					ask = questions
				}
				jobs = append(jobs, made{id, len(ask), create(s, id, input(ask, f.raw, f.body), types.ModelInvocationTypeInvokeModel), f.text})
			}
		}
		converse := func(q string) string {
			return fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":%s}]}],"inferenceConfig":{"maxTokens":90}}`, q)
		}
		jobs = append(jobs, made{p.name + " by Converse", len(few), create(s, p.name+"-nova", input(few, false, converse), types.ModelInvocationTypeConverse), at("output", "message", "content", "text")})
	}
	want := texts(t, s, own, families[0].text)
	for _, j := range jobs {
		got := texts(t, s, j.job, j.text)
		if n := agree(want[:j.asked], got); n != j.asked {
			t.Errorf("%s: %d of %d answers are those of the embedded engine: %q, want %q", j.name, n, j.asked, got, want[:j.asked])
		}
	}
	if n := strings.Count(s.Log(), `msg="model server started"`); n != 1 {
		t.Errorf("%d processes were started, want one for all models", n)
	}
}

// What a server adds of its own changes the answers of a greedy request. Ollama's default is a penalty of 1.1 for tokens among the last 64.
func TestAPenaltyOfTheServerChangesGreedyAnswers(t *testing.T) {
	needEngine(t)
	s := harness.Start(t, "models:\n"+model("penalty", "openai", "openai", engine(t, "--repeat-penalty", "1.1")))
	questions := asked(t)
	own := create(s, "batholith.tiny-v1", input(questions, false, families[0].body), types.ModelInvocationTypeInvokeModel)
	other := create(s, "penalty", input(questions, false, families[0].body), types.ModelInvocationTypeInvokeModel)
	want, got := texts(t, s, own, families[0].text), texts(t, s, other, families[0].text)
	n := agree(want, got)
	t.Logf("%d of %d answers agree", n, len(questions))
	if n == len(questions) || n < len(questions)*4/5 {
		t.Errorf("%d of %d answers agree, want some to differ, and most to agree", n, len(questions))
	}
}

// A server that is killed in the middle of a job is started again, and each record gets its answer.
func TestAnEngineThatIsKilledIsStartedAgain(t *testing.T) {
	needEngine(t)
	s := harness.Start(t, "models:\n"+model("dies", "openai", "openai", engine(t, "--die-at", "20", filepath.Join(t.TempDir(), "died"))))
	questions := asked(t)
	own := create(s, "batholith.tiny-v1", input(questions, false, families[0].body), types.ModelInvocationTypeInvokeModel)
	dies := create(s, "dies", input(questions, false, families[0].body), types.ModelInvocationTypeInvokeModel)
	want, got := texts(t, s, own, families[0].text), texts(t, s, dies, families[0].text)
	if n := agree(want, got); n != len(questions) {
		t.Errorf("%d of %d answers are those of the embedded engine:\n%q\n%q", n, len(questions), want, got)
	}
	if log := s.Log(); !strings.Contains(log, `why="signal: killed"`) || strings.Count(log, `msg="model server started"`) != 2 {
		t.Errorf("the server should have been killed and started again:\n%s", log)
	}
}

// A server whose queue is full refuses, and a prompt that is longer than its context is an error of its record. Neither costs another record its answer.
func TestAnEngineIsFilledAndOverflows(t *testing.T) {
	needEngine(t)
	s := harness.Start(t, "models:\n"+model("small", "openai", "openai", engine(t, "--parallel", "1", "--queue", "1", "--no-props"))+
		model("small-anthropic", "anthropic", "anthropic", engine(t, "--parallel", "1", "--queue", "1", "--no-props")))
	questions := append(asked(t)[:30], strings.Repeat("too long ", 100))
	var wait sync.WaitGroup
	for id, f := range map[string]int{"small": 0, "small-anthropic": 3} {
		j := create(s, id, input(questions, false, families[f].body), types.ModelInvocationTypeInvokeModel)
		wait.Go(func() {
			lines := answers(t, s, j)
			for i, l := range lines {
				switch {
				case i < 30 && l.Error != nil:
					t.Errorf("%s, record %d: %d %s", id, i, l.Error.ErrorCode, l.Error.ErrorMessage)
				case i == 30 && (l.Error == nil || l.Error.ErrorCode != 400 || !strings.Contains(l.Error.ErrorMessage, "exceeds the available context size (768 tokens)")):
					t.Errorf("%s, the long record: %+v", id, l)
				}
			}
			if len(lines) != 31 {
				t.Errorf("%s: %d lines", id, len(lines))
			}
		})
	}
	wait.Wait()
	text, err := os.ReadFile(filepath.Join(s.Data, "servers", "node.log"))
	if err != nil || !strings.Contains(string(text), "refused: the queue is full") {
		t.Errorf("the queue was never full: %v\n%s", err, text)
	}
}
