package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/sensor/trigger"
)

// S3 is an object in an S3 bucket.
type S3 struct {
	// Endpoint is the server: host, or host:port.
	Endpoint string `json:"endpoint"`
	// Bucket says which object.
	Bucket *S3Bucket `json:"bucket"`
	// Region of the bucket. Without it the server is asked.
	// +optional
	Region string `json:"region,omitempty"`
	// Insecure uses http instead of https.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
	// AccessKey is the id of the key. Without it nobody signs in.
	// +optional
	AccessKey *corev1.SecretKeySelector `json:"accessKey,omitempty"`
	// SecretKey is the key.
	// +optional
	SecretKey *corev1.SecretKeySelector `json:"secretKey,omitempty"`
	// CACertificate is the certificate authority to trust, PEM.
	// +optional
	CACertificate *corev1.SecretKeySelector `json:"caCertificate,omitempty"`
	// Events has no meaning here.
	// +optional
	Events []string `json:"events,omitempty"`
	// Filter has no meaning here.
	// +optional
	Filter *S3Filter `json:"filter,omitempty"`
	// Metadata has no meaning here.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
}

// S3Bucket names an object in a bucket.
type S3Bucket struct {
	// Name of the bucket.
	Name string `json:"name"`
	// Key of the object.
	Key string `json:"key"`
}

// S3Filter has no meaning for triggers.
type S3Filter struct {
	// +optional
	Prefix string `json:"prefix,omitempty"`
	// +optional
	Suffix string `json:"suffix,omitempty"`
}

func (s *S3) validate() error {
	var errs []error
	switch {
	case s.Endpoint == "":
		errs = append(errs, v1alpha1.Invalid("endpoint", "is required"))
	case strings.Contains(s.Endpoint, "/"):
		errs = append(errs, v1alpha1.Invalid("endpoint", "is no host").Hinted("write host or host:port; http is insecure: true"))
	}
	if s.Bucket == nil {
		errs = append(errs, v1alpha1.Invalid("bucket", "is required"))
	} else {
		if s.Bucket.Name == "" {
			errs = append(errs, v1alpha1.Invalid("bucket.name", "is required"))
		}
		if s.Bucket.Key == "" {
			errs = append(errs, v1alpha1.Invalid("bucket.key", "is required"))
		}
	}
	if (s.AccessKey == nil) != (s.SecretKey == nil) {
		errs = append(errs, v1alpha1.Invalid("", "accessKey and secretKey belong together").Hinted("give both or none"))
	}
	if s.Insecure && s.CACertificate != nil {
		errs = append(errs, v1alpha1.Warn("caCertificate", "has no effect on http").Hinted("remove insecure"))
	}
	return errors.Join(append(errs,
		selector("accessKey", s.AccessKey), selector("secretKey", s.SecretKey), selector("caCertificate", s.CACertificate))...)
}

func (*S3) remote() bool { return true }

func (s *S3) String() string {
	if s.Bucket == nil {
		return s.Endpoint
	}
	return s.Endpoint + "/" + s.Bucket.Name + "/" + s.Bucket.Key
}

func (s *S3) fetch(ctx context.Context, env trigger.Env) ([]byte, error) {
	if s.Bucket == nil {
		return nil, last("names no bucket")
	}
	options := &minio.Options{Secure: !s.Insecure, Region: s.Region, MaxRetries: 1, Creds: credentials.NewStaticV4("", "", "")}
	if s.AccessKey != nil && s.SecretKey != nil {
		id, err := env.Secrets.Secret(ctx, s.AccessKey)
		if err != nil {
			return nil, fmt.Errorf("accessKey: %w", lasting{err})
		}
		key, err := env.Secrets.Secret(ctx, s.SecretKey)
		if err != nil {
			return nil, fmt.Errorf("secretKey: %w", lasting{err})
		}
		options.Creds = credentials.NewStaticV4(string(bytes.TrimSpace(id)), string(bytes.TrimSpace(key)), "")
	}
	var t *v1alpha1.TLSConfig
	if s.CACertificate != nil && !s.Insecure {
		t = &v1alpha1.TLSConfig{CACertSecret: s.CACertificate}
	}
	client, err := env.HTTP.Client(ctx, t)
	if err != nil {
		return nil, err
	}
	options.Transport = client.Transport
	store, err := minio.New(s.Endpoint, options)
	if err != nil {
		return nil, lasting{err}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, _, _, err := (&minio.Core{Client: store}).GetObject(ctx, s.Bucket.Name, s.Bucket.Key, minio.GetObjectOptions{})
	if err != nil {
		return nil, explainS3(err)
	}
	defer body.Close()
	return read(body)
}

// explainS3 keeps the code of the server's answer; its text may quote what it
// was sent.
func explainS3(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return unquoted(err)
	}
	if answer.StatusCode == 0 {
		return lasting{errors.New(answer.Message)} // it was not even asked
	}
	return unwanted(answer.StatusCode, fmt.Errorf("%d %s", answer.StatusCode, answer.Code))
}
