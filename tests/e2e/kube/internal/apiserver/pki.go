package apiserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// pki is what a cluster has from its first day: a CA, the server's certificate, and one for each of its first clients.
type pki struct {
	CA, ServerCert, ServerKey []byte
	Clients                   map[string]client
}

type client struct{ Cert, Key []byte }

// clients are an administrator, and Herald under the names of the service accounts that it is shipped with.
var clients = map[string]pkix.Name{
	"admin":                 {CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
	"herald":                serviceAccount("herald"),
	"ack-ram-authenticator": serviceAccount("ack-ram-authenticator"),
}

func serviceAccount(name string) pkix.Name {
	return pkix.Name{
		CommonName:   "system:serviceaccount:kube-system:" + name,
		Organization: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system"},
	}
}

// keptPKI is the pki in file, made when it is not there.
func keptPKI(file string) (*pki, error) {
	if text, err := os.ReadFile(file); err == nil {
		p := &pki{}
		return p, json.Unmarshal(text, p)
	}
	p, err := newPKI()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return p, os.WriteFile(file, text, 0o600)
}

func newPKI() (*pki, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Minute)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"},
		NotBefore: from, NotAfter: from.Add(7 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	leaf := func(serial int64, name pkix.Name, use x509.ExtKeyUsage) (cert, key []byte, err error) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		t := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: name, NotBefore: from, NotAfter: ca.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
		}
		if use == x509.ExtKeyUsageServerAuth {
			t.IPAddresses, t.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
		}
		der, err := x509.CreateCertificate(rand.Reader, t, ca, k.Public(), caKey)
		if err != nil {
			return nil, nil, err
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(k)
		return armour("CERTIFICATE", der), armour("PRIVATE KEY", keyDER), err
	}
	p := &pki{CA: armour("CERTIFICATE", caDER), Clients: map[string]client{}}
	if p.ServerCert, p.ServerKey, err = leaf(2, pkix.Name{CommonName: "kube-apiserver"}, x509.ExtKeyUsageServerAuth); err != nil {
		return nil, err
	}
	serial := int64(3)
	for name, subject := range clients {
		cert, key, err := leaf(serial, subject, x509.ExtKeyUsageClientAuth)
		if err != nil {
			return nil, err
		}
		p.Clients[name] = client{cert, key}
		serial++
	}
	return p, nil
}

func armour(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// write leaves ca.crt and kubeconfigs in dir: one for each client certificate, and bare.kubeconfig without credentials.
func (p *pki) write(dir, server string) error {
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), p.CA, 0o644); err != nil {
		return err
	}
	people := map[string]*clientcmdapi.AuthInfo{"bare": {}}
	for name, c := range p.Clients {
		people[name] = &clientcmdapi.AuthInfo{ClientCertificateData: c.Cert, ClientKeyData: c.Key}
	}
	for name, credentials := range people {
		config := clientcmdapi.NewConfig()
		config.Clusters["cluster"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: p.CA}
		config.AuthInfos[name] = credentials
		config.Contexts[name] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: name}
		config.CurrentContext = name
		if err := clientcmd.WriteToFile(*config, filepath.Join(dir, name+".kubeconfig")); err != nil {
			return err
		}
	}
	return nil
}
