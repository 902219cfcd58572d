/* consumer.c - the smallest program that uses the package. */
#include <prunesid.h>

#include <stdio.h>

int main(void) {
    float tokens[32];
    int32_t kept[5];
    for (int i = 0; i < 32; i++) tokens[i] = (float)(i * i % 7);
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 8, 4, 5);
    prunesid_tokens view = prunesid_tokens_view(tokens, PRUNESID_F32, 8, 4);
    prunesid_output out = prunesid_output_init(kept);
    prunesid_status status = prunesid_select_alloc(&config, &view, NULL, NULL, &out);
    printf("%s, kept %d of 8 tokens\n", prunesid_status_string(status), (int)out.n_kept);
    return status == PRUNESID_OK && out.n_kept == 5 ? 0 : 1;
}
