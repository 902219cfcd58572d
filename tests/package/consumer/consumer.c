/* consumer.c - the smallest program that uses the package. */
#include <prunesid.h>

#include <stdio.h>

#if defined(CONSUMER_WANTS_ITS_OWN_BLAS) && !defined(CONSUMER_HAS_ITS_OWN_BLAS)
#error "prunesid::prunesid links another BLAS than this project's"
#endif

int main(void) {
    float tokens[32];
    int32_t kept[5];
    for (int i = 0; i < 32; i++) tokens[i] = (float)(i * i % 7);
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 5);
    prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, 8, 4);
    prunesid_status status = prunesid_select_alloc(&config, &input, kept, 5, NULL, NULL);
    int n_kept = (int)prunesid_n_kept(&config, 8);
    printf("%s, kept %d of 8 tokens\n", prunesid_status_string(status), n_kept);
    if (prunesid_version() != PRUNESID_VERSION) puts("the library is of another version");
    return status == PRUNESID_OK && n_kept == 5 && prunesid_version() == PRUNESID_VERSION ? 0 : 1;
}
