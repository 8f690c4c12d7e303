package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// ErrDeleted is what [Until] returns if the object is not there (any more).
var ErrDeleted = errors.New("the object is not there any more")

// Until looks at an object, and again after each change, until look says that
// that will do, or returns an error. It returns nil, look's error, one that wraps
// ErrDeleted, ctx's, or the API's. Changes that follow each other closely may be
// seen as one only while the watch is being renewed. It needs the rights get
// and watch; without the right to watch it looks every two seconds.
func Until(ctx context.Context, api dynamic.ResourceInterface, name string, look func(*unstructured.Unstructured) (enough bool, err error)) error {
	for {
		o, err := api.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%s: %w", name, ErrDeleted)
		}
		if err != nil {
			return err
		}
		if enough, err := look(o); enough || err != nil {
			return err
		}
		enough, err := follow(ctx, api, o, look)
		if enough || err != nil {
			return err
		}
	}
}

const lookEvery = 2 * time.Second

// follow watches an object from the version that o is. False and no error: look
// at it anew.
func follow(ctx context.Context, api dynamic.ResourceInterface, o *unstructured.Unstructured, look func(*unstructured.Unstructured) (bool, error)) (bool, error) {
	w, err := api.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector(metav1.ObjectNameField, o.GetName()).String(),
		ResourceVersion: o.GetResourceVersion(),
	})
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, pause(ctx)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case e, open := <-w.ResultChan():
			if !open || e.Type == watch.Error {
				return false, pause(ctx) // the watch is over, or the version too old
			}
			seen, ok := e.Object.(*unstructured.Unstructured)
			switch {
			case e.Type == watch.Deleted:
				return false, fmt.Errorf("%s: %w", o.GetName(), ErrDeleted)
			case e.Type == watch.Bookmark || !ok:
				continue
			}
			if enough, err := look(seen); enough || err != nil {
				return enough, err
			}
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
