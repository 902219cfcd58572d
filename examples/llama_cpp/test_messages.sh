#!/bin/sh
# test_messages.sh PROGRAM MODELS - what is wrong is said in one line, with exit 1 or 2.
set -u
program=$1
models=$2
failed=0
command=run

# expect EXIT TEXT ARGUMENTS... : of $command on the small LLaVA, which ARGUMENTS override.
expect() {
    want=$1
    text=$2
    shift 2
    said=$("$program" "$command" "$@" 2>&1 >/dev/null)
    status=$?
    case $status:$said in
    "$want:"*"$text"*) echo "ok      $text" ;;
    *)
        echo "FAILED  $text: exit $status: $said"
        failed=1
        ;;
    esac
}

model="--model $models/llava/model.gguf"
mmproj="--mmproj $models/llava/mmproj.gguf"
picture=$models/picture.ppm
# shellcheck disable=SC2086
{
    expect 1 "no vision part" $model --mmproj "$models/llava/model.gguf" "$picture"
    expect 1 "the vision part (mmproj)" $model --mmproj "$models/none.gguf" "$picture"
    expect 1 "not a model" --model "$models/llava/mmproj.gguf" $mmproj "$picture"
    expect 1 "does not fit" $model --mmproj "$models/qwen3vl/mmproj.gguf" "$picture"
    expect 1 "must be between 1" $model $mmproj "$picture" --keep 0
    expect 1 "is above 1" $model $mmproj "$picture" --ratio 1.5
    expect 1 "not a picture" $model $mmproj "$models/llava/model.gguf"
    expect 1 "not a file" $model $mmproj "$models"
    expect 1 "needs one <__media__>" $model $mmproj "$picture" --prompt "<__media__><__media__>"
    expect 1 "text behind its last" $model $mmproj "$picture" --prompt "What is <__media__>"
    expect 2 "no image" $model $mmproj
    expect 2 "say the same thing" $model $mmproj "$picture" --keep 8 --ratio 0.5
    expect 1 "do not fit one batch" --model "$models/gemma3/model.gguf" \
        --mmproj "$models/gemma3/mmproj.gguf" "$picture" --batch 32 --keep 40
    expect 0 "" $model $mmproj "$picture" --keep 16 --predict 2
    expect 0 "" $model $mmproj "$picture" --keep 16 --ctx 64 --predict 400 --merge 0
    expect 0 "" $model $mmproj "$picture" --ratio 0.25 --dynamic --phi-ref 0.5 --predict 2
    command=compare
    for list in 8, -5 0 8,x 99999999999 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17; do
        expect 1 "is no list of 1 to 16" $model $mmproj "$picture" --keep-list "$list"
    done
    expect 0 "" $model $mmproj "$picture" --keep-list 8,16 --predict 3
}
exit "$failed"
