# SPDX-License-Identifier: Apache-2.0
"""Certificates for the tests, made with the openssl command."""
import subprocess
from pathlib import Path


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Pair:
    """A certificate and its key as files."""

    def __init__(self, folder, name):
        self.cert = Path(folder) / f"{name}.pem"
        self.key = Path(folder) / f"{name}.key"

    @property
    def cert_text(self):
        return self.cert.read_text()

    @property
    def key_text(self):
        return self.key.read_text()


class Authority(Pair):
    """A CA; issue() makes leaves."""

    def __init__(self, folder, name):
        super().__init__(folder, name)
        self.folder = Path(folder)
        self.name = name
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 3, "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def expired(self, name):
        """The same authority, past its last day."""
        pair = Authority.__new__(Authority)
        Pair.__init__(pair, self.folder, name)
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("basicConstraints=critical,CA:TRUE\n"
                              "keyUsage=critical,keyCertSign,cRLSign\n")
        openssl("req", "-new", "-key", self.key, "-subj", f"/CN={self.name}", "-out", request)
        openssl("x509", "-req", "-in", request, "-signkey", self.key, "-days", -1,
                "-extfile", extensions, "-out", pair.cert)
        return pair

    def issue(self, name, sans, days=2, key="ec"):
        """sans in openssl's notation: "DNS:a.test,URI:spiffe://x/y"."""
        pair = Pair(self.folder, name)
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if key.startswith("rsa"):
            kind = ["-newkey", "rsa:" + (key[3:] or "2048")]
        request = self.folder / f"{name}.csr"
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={sans}\nbasicConstraints=critical,CA:FALSE\n"
                              "keyUsage=critical,digitalSignature,keyEncipherment\n"
                              "extendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", pair.key,
                "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", pair.cert)
        return pair
