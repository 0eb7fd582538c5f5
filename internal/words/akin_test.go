package words

import (
	"slices"
	"testing"
)

func TestANameWithWordsLeftOutIsFoundByTheOthers(t *testing.T) {
	actions := []string{"bedrock:CreateModelInvocationJob", "bedrock:GetModelInvocationJob", "bedrock:ListModelInvocationJobs", "bedrock:StopModelInvocationJob",
		"s3:DeleteObject", "s3:GetObject", "s3:GetObjectTagging", "s3:ListBucket", "kms:Decrypt"}
	if _, all := Akin("s3:ReadObject", actions); all {
		t.Error("a word is missing, and all are said to be there")
	}
	if best, all := Akin("ObjectGet", actions); !all || len(best) != 1 {
		t.Errorf("%q, %t", best, all)
	}
	for name, want := range map[string][]string{
		"bedrock:CreateJob":                {"bedrock:CreateModelInvocationJob"},
		"bedrock:CreateJobs":               {"bedrock:CreateModelInvocationJob"},
		"bedrock:ListJobs":                 {"bedrock:ListModelInvocationJobs"},
		"bedrock:ModelInvocationJobCreate": {"bedrock:CreateModelInvocationJob"},
		"s3:ReadObject":                    {"s3:DeleteObject", "s3:GetObject"},
		"s3:GetTagging":                    {"s3:GetObjectTagging"},
		"sqs:SendMessage":                  nil,
		"":                                 nil,
		"s3:":                              {"s3:DeleteObject", "s3:GetObject", "s3:ListBucket"},
	} {
		if got, _ := Akin(name, actions); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
