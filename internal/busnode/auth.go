package busnode

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signalbox-events/signalbox/api/v1alpha1"
	"github.com/signalbox-events/signalbox/eventbus"
	"github.com/signalbox-events/signalbox/eventbus/server"
)

// Files of Config.AuthDir, beside one for each role with its password.
const (
	fileClusterPassword = "cluster-password"
	fileCertificate     = "tls.crt"
	fileKey             = "tls.key"
	fileAuthority       = "ca.crt"
	clusterUser         = "cluster"
)

// readRoles are the users that the roles of the bus make.
func readRoles(dir string, bus *v1alpha1.EventBus) ([]server.User, error) {
	var users []server.User
	for _, r := range eventbus.Roles() {
		password, err := readPassword(filepath.Join(dir, string(r)))
		if err != nil {
			return nil, err
		}
		rights, err := r.Rights(bus.Namespace, bus.Name)
		if err != nil {
			return nil, err
		}
		users = append(users, server.User{Name: string(r), Password: password, Publish: rights.Publish, Subscribe: rights.Subscribe})
	}
	return users, nil
}

// secure sets what clients and members show each other.
func secure(c *server.Config, dir string) error {
	files := server.TLSFiles{
		Cert: filepath.Join(dir, fileCertificate), Key: filepath.Join(dir, fileKey), CA: filepath.Join(dir, fileAuthority),
	}
	if c.TLS == nil {
		c.TLS = &files
	}
	if c.Cluster == nil {
		return nil
	}
	password, err := readPassword(filepath.Join(dir, fileClusterPassword))
	if err != nil {
		return err
	}
	c.Cluster.User, c.Cluster.Password = clusterUser, password
	if c.Cluster.TLS == nil {
		c.Cluster.TLS = &files
	}
	return nil
}

func readPassword(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	password := strings.TrimSpace(string(b))
	if password == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return password, nil
}
