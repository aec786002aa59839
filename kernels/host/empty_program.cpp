// Linked with a library of normproof_add_cuda_host_target(), so that the linker names what is not defined.
int main() {}
