"""The real parts of the AWS composition on this machine, for tests: started on loopback, on free ports, in temporary folders."""
