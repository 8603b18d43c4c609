"""Certificates for servers of tests."""
import ipaddress
import subprocess


def make(path, name):
    """One that signed itself, for the host or address `name`, and its key, in one file."""
    try:
        kind = f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        kind = f"DNS:{name}"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                           "/CN=test", "-addext", f"subjectAltName={kind}", "-keyout",
                           str(path)], check=True, capture_output=True, text=True)
    path.write_text(made.stdout + path.read_text())
