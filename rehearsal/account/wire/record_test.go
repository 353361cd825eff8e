package wire

import (
	"bytes"
	"io"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// What changes something or is denied is told at once; what only reads, and questions, are a
// matter of debugging.
func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log bytes.Buffer
	text := slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "message" {
			return slog.Attr{}
		}
		return a
	}})
	w.handler = New(Options{Account: w.account, Log: slog.New(text)})
	w.serve()
	w.grant("launch", `{"Effect":"Allow","Action":"ec2:DescribeSubnets","Resource":"*"}`)
	pod, admin := clientsOf(w.config(w.pod())), clientsOf(w.admin())
	_, err := pod.ec2.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	w.ok(err)
	_, err = admin.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	w.ok(err)
	if _, err = admin.iam.GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: aws.String("nodes")}); err == nil {
		t.Error("there is an instance profile already")
	}
	if _, err = pod.ec2.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{}); err == nil {
		t.Error("DescribeVolumes was not denied")
	}
	_, err = admin.iam.CreateInstanceProfile(t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("nodes")})
	w.ok(err)
	w.server.Close() // and with it all that writes the log
	got, err := io.ReadAll(&log)
	w.ok(err)
	want := "level=INFO msg=\"AWS call\" action=ec2:DescribeVolumes principal=" + roleARN("c-controller") + " code=UnauthorizedOperation\n" +
		"level=INFO msg=\"AWS call\" action=iam:CreateInstanceProfile principal=" + account.CallerARN + " code=\"\"\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
