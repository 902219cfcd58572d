# The benches from outside, on tiny sizes: valid and complete JSON, exit codes, lines of error.
#   cmake -DNAME=prunesid|prefill -DBENCH=FOLDER_OF_PROGRAMS -DDATA=examples/data -P check.cmake

# Runs a program; result, output and error are set for the caller.
function(run program)
    execute_process(COMMAND ${BENCH}/${program} ${ARGN}
        RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE error)
    foreach(name result output error)
        set(${name} "${${name}}" PARENT_SCOPE)
    endforeach()
endfunction()

# The JSON in output has exactly these members, as "name TYPE" each; where is a path or empty.
function(expect_members where)
    string(JSON n ERROR_VARIABLE problem LENGTH "${output}" ${where})
    list(LENGTH ARGN n_wanted)
    if(problem OR NOT n EQUAL n_wanted)
        message(FATAL_ERROR "not an object of ${n_wanted} members (${n}, ${problem}): ${output}")
    endif()
    foreach(member IN LISTS ARGN)
        string(REPLACE " " ";" member "${member}")
        list(GET member 0 name)
        list(GET member 1 wanted)
        string(JSON type ERROR_VARIABLE problem TYPE "${output}" ${where} ${name})
        if(problem OR NOT type STREQUAL wanted)
            message(FATAL_ERROR "${where} ${name}: '${type}', not ${wanted}: ${output}")
        endif()
    endforeach()
endfunction()

function(expect_value wanted)
    string(JSON value GET "${output}" ${ARGN})
    if(NOT value STREQUAL wanted)
        message(FATAL_ERROR "${ARGN} is ${value}, not ${wanted}: ${output}")
    endif()
endfunction()

# expect_failure(CODE PROGRAM ARGUMENT...): nothing on standard output, the cause in one line on
# standard error, where a usage error (2) says in another where to look.
function(expect_failure code program)
    run(${program} ${ARGN})
    set(lines "${program}: [^\n]*\n")
    if(code EQUAL 2)
        string(APPEND lines "try: ${program} --help\n")
    endif()
    if(NOT result EQUAL code OR NOT output STREQUAL "" OR NOT error MATCHES "^${lines}$")
        message(FATAL_ERROR "${program} ${ARGN}: exit ${result}, not ${code}\n${output}${error}")
    endif()
endfunction()

function(expect_success program)
    run(${program} ${ARGN})
    if(NOT result EQUAL 0 OR output STREQUAL "") # standard error may tell of progress
        message(FATAL_ERROR "${program} ${ARGN}: exit ${result}\n${output}${error}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

# What prunesid_bench says: plain_ms is a NUMBER or NULL; more members may follow.
function(expect_bench plain_ms)
    expect_members("" "tokens NUMBER" "dim NUMBER" "keep NUMBER" "source STRING" "seed NUMBER"
        "dtype STRING" "workers NUMBER" "preset STRING" "svd STRING" "svd_used STRING"
        "threads NUMBER" "reps NUMBER" "corename STRING" "cores_used NUMBER" "median_ms NUMBER"
        "min_ms NUMBER" "stages_ms OBJECT" "gemm_ms NUMBER" "gemm_panel_rows NUMBER"
        "ratio NUMBER" "plain_ms ${plain_ms}" "workspace_bytes NUMBER" "iterations NUMBER"
        "groups NUMBER" "refined NUMBER" "peak_gflops NUMBER" "gemm_share NUMBER" ${ARGN})
    expect_members(stages_ms "sigmoid NUMBER" "svd NUMBER" "redundancy NUMBER" "nms NUMBER"
        "quotas NUMBER")
endfunction()

# a <= b, both members of the object in output.
function(expect_in_order a b)
    string(JSON first GET "${output}" ${a})
    string(JSON second GET "${output}" ${b})
    if(first GREATER second)
        message(FATAL_ERROR "${a} ${first} is above ${b} ${second}: ${output}")
    endif()
endfunction()

if(NAME STREQUAL "prunesid")
    set(of_images "images NUMBER" "p50_ms NUMBER" "p95_ms NUMBER" "p99_ms NUMBER" "max_ms NUMBER"
        "slowest_seed NUMBER" "n_refined_images NUMBER" "n_exact_images NUMBER" "p50_ms_of OBJECT")

    expect_success(prunesid_bench --tokens 300 --dim 270 --keep 8 --reps 2 --json)
    expect_bench(NULL)
    expect_value(300 tokens)
    expect_value(270 dim)
    expect_value(8 keep)
    expect_value(2 reps)
    expect_value(1 seed)
    expect_value(f32 dtype)
    expect_value(1 workers)
    expect_value(krylov svd_used)
    expect_success(prunesid_bench --tokens=40 --dim=24 --keep=8 --preset=paper --svd=exact
        --threads=2 --seed=7 --reps=3 --json)
    expect_bench(NULL)
    expect_value(paper preset)
    expect_value(exact svd_used)
    expect_value(2 threads)
    expect_value(7 seed)
    expect_value(0 refined)
    expect_success(prunesid_bench --tokens 5 --dim 3 --keep 9 --json) # nothing to prune
    expect_bench(NULL)
    expect_success(prunesid_bench --file ${DATA}/coffee_vit384/tokens.npy --reps 1 --json)
    expect_bench(NULL)
    foreach(dtype f16 bf16)
        expect_success(prunesid_bench --tokens 300 --dim 270 --keep 8 --dtype ${dtype} --reps 1
            --json)
        expect_bench(NUMBER)
        expect_value(${dtype} dtype)
    endforeach()
    foreach(workers 2 3 5)
        expect_success(prunesid_bench --tokens 300 --dim 270 --keep 8 --workers ${workers}
            --dtype f16 --reps 2 --json)
        expect_bench(NUMBER)
        expect_value(${workers} workers)
    endforeach()
    expect_success(prunesid_bench --tokens 300 --dim 270 --keep 8 --images 7 --seed 3 --reps 1
        --json)
    expect_bench(NULL ${of_images})
    expect_value(7 images)
    expect_value(0 n_exact_images)
    expect_in_order(p50_ms p95_ms)
    expect_in_order(p95_ms p99_ms)
    expect_in_order(p99_ms max_ms)
    expect_success(prunesid_bench --tokens 40 --dim 24 --keep 8 --svd exact --images 2 --reps 1
        --json)
    expect_bench(NULL ${of_images})
    expect_value(0 n_refined_images)
    expect_value(2 n_exact_images)
    expect_members(p50_ms_of "krylov NULL" "refined NULL" "exact NUMBER")
    expect_success(prunesid_bench --tokens 40 --dim 24 --keep 8 --reps 1 --images 3 --workers 2)
    set(represented "represent STRING" "represent_ms NUMBER" "coverage NUMBER")
    expect_success(prunesid_bench --tokens 300 --dim 70 --keep 8 --represent group --reps 2 --json)
    expect_bench(NULL ${represented})
    expect_value(group represent)
    foreach(dtype f16 bf16)
        expect_success(prunesid_bench --tokens 300 --dim 70 --keep 8 --dtype ${dtype} --merge 0.5
            --workers 2 --reps 2 --json)
        expect_bench(NUMBER ${represented} "merge NUMBER" "merge_ms NUMBER")
        expect_value(all represent)
        expect_in_order(represent_ms median_ms)
    endforeach()
    expect_success(prunesid_bench --tokens 5 --dim 3 --keep 9 --merge 1 --json)
    expect_value(1 coverage)
    expect_success(prunesid_bench --tokens 40 --dim 24 --keep 8 --reps 1 --merge 0.5)
    expect_success(prunesid_bench --help)

    expect_failure(2 prunesid_bench --nonsense)
    expect_failure(2 prunesid_bench tokens.npy)
    expect_failure(2 prunesid_bench --tokens)
    expect_failure(2 prunesid_bench --tokens many)
    expect_failure(2 prunesid_bench --json=1)
    expect_failure(2 prunesid_bench --json --json)
    expect_failure(2 prunesid_bench --preset none)
    expect_failure(2 prunesid_bench --svd sketch)
    expect_failure(2 prunesid_bench --dtype f64)
    expect_failure(2 prunesid_bench --file tokens.npy --dim 3)
    expect_failure(2 prunesid_bench --file tokens.npy --images 3)
    expect_failure(2 prunesid_bench --represent none)
    expect_failure(1 prunesid_bench --merge 1.5 --tokens 40 --dim 24 --keep 8 --reps 1)
    expect_failure(1 prunesid_bench --merge 0)
    expect_failure(1 prunesid_bench --tokens 0)
    expect_failure(1 prunesid_bench --workers 0)
    expect_failure(1 prunesid_bench --images 0)
    expect_failure(1 prunesid_bench --keep -1)
    expect_failure(1 prunesid_bench --dim 99999999999999999999)
    expect_failure(1 prunesid_bench --keep 1 --preset llava) # its one row is reserved
    expect_failure(1 prunesid_bench --file ${DATA}/nowhere.npy)
    expect_failure(1 prunesid_bench --file ${CMAKE_CURRENT_LIST_FILE})
else()
    set(tiny --model custom --visual 40 --keep 8 --text 3 --hidden 32 --heads 4 --kv-heads 2
        --mlp 24 --depth 6 --dim 16)
    expect_success(prunesid_prefill ${tiny} --layers 2 --reps 2 --json)
    expect_members("" "model STRING" "visual NUMBER" "keep NUMBER" "kept NUMBER" "text NUMBER"
        "hidden NUMBER" "heads NUMBER" "kv_heads NUMBER" "mlp NUMBER" "dim NUMBER" "threads NUMBER"
        "reps NUMBER" "corename STRING" "cores_used NUMBER" "layers_run NUMBER"
        "layers_model NUMBER" "full_ms NUMBER" "select_ms NUMBER" "pruned_ms NUMBER"
        "speedup NUMBER" "full_gflops NUMBER" "extrapolated OBJECT")
    expect_members(extrapolated "layers NUMBER" "full_ms NUMBER" "select_ms NUMBER"
        "pruned_ms NUMBER" "speedup NUMBER")
    expect_value(8 kept)
    expect_value(2 layers_run)
    expect_value(6 layers_model)
    expect_value(6 extrapolated layers)
    expect_success(prunesid_prefill ${tiny} --threads 2 --reps 1)
    expect_success(prunesid_prefill --help)

    expect_failure(2 prunesid_prefill --model gpt)
    expect_failure(2 prunesid_prefill --hidden 64)
    expect_failure(1 prunesid_prefill --model custom --hidden 33)
    expect_failure(1 prunesid_prefill --model custom --kv-heads 3)
    expect_failure(1 prunesid_prefill --keep 0)
    expect_failure(1 prunesid_prefill --layers 0)
endif()
