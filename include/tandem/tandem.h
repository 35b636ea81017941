/* tandem.h -- two-tower retrieval: learn query and candidate vectors from interactions, measure
 * how good they are, index the candidates, return the top k.
 *
 * This is the only installed header, and its comments are the manual. The sections follow the data:
 *
 *   0 basics      status, errors, options, context
 *   1 file        interactions and item files -> rows
 *   2 dataset     rows with vocabularies; splits
 *   3 model       two towers: ids -> vectors
 *   4 loss        the retrieval task, on bare arrays
 *   5 optimizer   optimizers, schedules, the training loop
 *   6 evaluation  streaming metrics, per-user ranking metrics, baselines
 *   7 index       top-k search, exact or by a tree
 *
 * Rules that hold everywhere
 *
 *   Arguments     New object first, then the subject, inputs, options, buffers to fill, `td_error *`
 *                 last. Options and errors may be NULL: defaults, and no report.
 *   Ownership     A pointer returned through a pointer-to-pointer is owned: free it. A pointer that a
 *                 function returns is borrowed from its subject and valid as long as the subject.
 *                 Every `_free` takes NULL.
 *   Errors        Functions that can fail return `td_status`; zero is success. On failure output
 *                 objects are set to NULL, nothing leaks, and files are as they were before.
 *   Threads       Each handle states one of: "immutable: any number of threads", "one thread at a
 *                 time", "internally locked". The library makes no threads but those of a context.
 *   Side effects  The library never prints, exits, aborts, or reads the environment.
 *   Numbers       Same inputs, options and seed give the same bits for any number of threads.
 *   Stability     Before 1.0 only source compatibility within a minor version is promised.
 *
 * Letters in shapes: B rows of a batch, C candidates of a batch, H heads (vectors per query),
 * D dim, N items of an index, U users, K results per query.
 */
#ifndef TANDEM_TANDEM_H
#define TANDEM_TANDEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TD_VERSION_MAJOR 0
#define TD_VERSION_MINOR 1
#define TD_VERSION_PATCH 0
#define TD_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define TD_API __attribute__((visibility("default")))
#define TD_MUST_CHECK __attribute__((warn_unused_result))
#else
#define TD_API
#define TD_MUST_CHECK
#endif

/* ------------------------------------------------------------------------------------------------
 * 0 basics
 * --------------------------------------------------------------------------------------------- */

/* One list makes the codes, their names and sentences, the exit code of the command line tool and
 * the status of the HTTP server. X(name, value, exit code, HTTP status, sentence) */
#define TD_STATUS_MAP(X)                                                                           \
    X(OK, 0, 0, 200, "success")                                                                    \
    X(ERR_ARGUMENT, -1, 2, 400, "an argument or option is not allowed")                            \
    X(ERR_MEMORY, -2, 3, 503, "out of memory")                                                     \
    X(ERR_IO, -3, 4, 500, "a file could not be read or written")                                   \
    X(ERR_PARSE, -4, 5, 400, "an input cannot be understood")                                      \
    X(ERR_CORRUPT, -5, 6, 500, "a file is damaged")                                                \
    X(ERR_VERSION, -6, 7, 500, "a file is of another kind or version")                             \
    X(ERR_NOT_FOUND, -7, 8, 404, "an id, name or file is not known")                               \
    X(ERR_LIMIT, -8, 9, 413, "a size is beyond a limit")                                           \
    X(ERR_NUMERIC, -9, 10, 422, "a number is not finite")                                          \
    X(ERR_STATE, -10, 11, 409, "the call does not fit what came before")                           \
    X(ERR_UNSUPPORTED, -11, 12, 501, "not available in this build or on this machine")             \
    X(ERR_CANCELLED, -12, 13, 499, "stopped by the caller")

typedef enum td_status {
#define TD_STATUS_ENUM(name, value, exit_code, http, sentence) TD_##name = (value),
    TD_STATUS_MAP(TD_STATUS_ENUM)
#undef TD_STATUS_ENUM
} td_status;

/* Caller-owned report of a failure. Zero-initialise it, or do not: every failing call fills all of
 * it. The message is one sentence (or two) without a final newline: where, what was found, what is
 * allowed, what to do. */
typedef struct td_error {
    td_status status;
    uint64_t line;     /* 1-based line of the input file, 0 if none */
    uint64_t byte;     /* 0-based byte offset in the file, 0 if none */
    char message[480]; /* NUL-terminated UTF-8 */
} td_error;

/* Facts of a status. Pure; any thread. Unknown values give "unknown". */
TD_API const char *td_status_name(td_status status);     /* "ERR_PARSE" */
TD_API const char *td_status_sentence(td_status status); /* "an input cannot be understood" */
TD_API int td_status_exit_code(td_status status);
TD_API int td_status_http(td_status status);

/* Version of the library at run time, "0.1.0". */
TD_API const char *td_version(void);

/* --- options ---------------------------------------------------------------------------------
 * Every options struct is a plain struct with a table that describes its fields: default, bounds,
 * name on the command line and in saved files, help. The table is the one source of all of these.
 */
typedef enum td_option_type {
    TD_OPTION_BOOL,    /* bool: true/false, yes/no, 1/0 */
    TD_OPTION_U32,     /* uint32_t */
    TD_OPTION_U64,     /* uint64_t */
    TD_OPTION_I64,     /* int64_t */
    TD_OPTION_F32,     /* float */
    TD_OPTION_F64,     /* double */
    TD_OPTION_CHOICE,  /* an enum: one name of `choices`, stored as its position (int) */
    TD_OPTION_TEXT,    /* const char *, borrowed from the caller, may be NULL; "" sets NULL */
    TD_OPTION_U32_LIST /* td_u32_list: "1,5,10"; "" only where it is the default */
} td_option_type;

enum { TD_U32_LIST_MAX = 16 };

typedef struct td_u32_list {
    uint32_t count;
    uint32_t values[TD_U32_LIST_MAX];
} td_u32_list;

typedef struct td_option {
    const char *name; /* "learning-rate": the flag --learning-rate and the key in files */
    td_option_type type;
    size_t offset;
    const char *initial; /* default, as text; NULL only for TEXT */
    double min, max;     /* inclusive, numbers and lists only */
    const char *choices; /* CHOICE: "a|b|c" */
    const char *value;   /* what to call the value in help: "N", "FILE", "RATE" */
    const char *help;    /* one sentence, no final stop */
} td_option;

typedef struct td_option_table {
    const char *name; /* "train" */
    size_t struct_size;
    uint32_t count;
    const td_option *rows; /* [count] */
} td_option_table;

/* Set every field to its default. `options` has table->struct_size bytes. */
TD_API void td_options_init(const td_option_table *table, void *options);

/* Set one field from text. ARGUMENT with a sentence for an unknown name (the nearest known one is
 * named), a value that is no number, or one out of bounds. A TEXT field keeps the pointer: borrowed
 * for as long as the options are used. */
TD_API TD_MUST_CHECK td_status td_options_set(const td_option_table *table, void *options,
                                              const char *name, const char *text, td_error *err);

/* The field as text that td_options_set takes back to the same bits. `text` [capacity]; LIMIT if it
 * does not fit. */
TD_API TD_MUST_CHECK td_status td_options_get(const td_option_table *table, const void *options,
                                              const char *name, char *text, size_t capacity,
                                              td_error *err);

/* Check the bounds of every field; each function that takes options does this first. */
TD_API TD_MUST_CHECK td_status td_options_check(const td_option_table *table, const void *options,
                                                td_error *err);

/* The row called `name`, or NULL. */
TD_API const td_option *td_option_find(const td_option_table *table, const char *name);

/* --- context ---------------------------------------------------------------------------------
 * A context holds what every object needs: the allocator, the threads and the kernels for this
 * processor. Create one, pass it to everything, free it last: objects borrow it.
 * Internally locked: any number of threads may use one context at once. A second caller finds the
 * threads busy and works alone, with the same bits.
 */
typedef struct td_context td_context;

/* Memory hook, one function as in Lua. `resize(user, block, old_size, new_size)`: block NULL makes a
 * block, new_size 0 frees it and returns NULL, else the block is moved or grown in place, contents
 * kept. Blocks must be aligned to 64 bytes. NULL for "no memory". Called from several threads. */
typedef struct td_allocator {
    void *(*resize)(void *user, void *block, size_t old_size, size_t new_size);
    void *user;
} td_allocator;

typedef struct td_context_options {
    uint32_t threads;       /* 0: as many as this process may run on */
    const char *kernel;     /* NULL or "auto": the best set this machine has; a name: exactly that */
    td_allocator allocator; /* resize NULL: the C library, huge pages where the system has them */
} td_context_options;

/* Makes the threads and chooses the kernels. LIMIT for more than 256 threads,
 * UNSUPPORTED for a kernel set that is unknown or cannot run on this machine. */
TD_API TD_MUST_CHECK td_status td_context_create(td_context **out,
                                                 const td_context_options *options, td_error *err);
TD_API void td_context_free(td_context *context);
/* What was chosen: the number of threads (the caller counts), the name of the kernel set. */
TD_API uint32_t td_context_threads(const td_context *context);
TD_API const char *td_context_kernel(const td_context *context); /* "ref", "avx2", ... */
/* Does the kernel set multiply bfloat16 by instructions of its own (TD_PRECISION_BFLOAT16)? */
TD_API bool td_context_bfloat16(const td_context *context);

/* Kernel sets, best last. `name` receives the name of set `index` (borrowed, static). Returns false
 * past the end. `available` says whether this machine (processor and operating system) can run it. */
TD_API bool td_kernel_describe(uint32_t index, const char **name, bool *available);

/* --- small shared types ---------------------------------------------------------------------- */

/* Borrowed matrix of float32 vectors. Query matrices may have H > 1 vectors per row, scored by the
 * best of them; `heads` 0 means 1. */
typedef struct td_vectors {
    const float *data; /* [rows, heads, dim], row-major, no padding */
    uint64_t rows;
    uint32_t dim;
    uint32_t heads;
} td_vectors;

/* Progress of long work. Return false to stop it: the call then returns TD_ERR_CANCELLED. Called on
 * the caller's thread, at most about 20 times a second, and once at the end of each stage. */
typedef struct td_progress {
    const char *stage;   /* "read", "train", "evaluate", "index" */
    uint64_t done;       /* of `total`, in `unit`s */
    uint64_t total;      /* 0: not known */
    const char *unit;    /* "bytes", "rows", "steps", "users" */
    uint32_t epoch;      /* training: 1-based, else 0 */
    uint32_t epochs;
    double loss;         /* training: mean loss per row so far in this epoch, else 0 */
    double seconds;      /* since the stage began */
} td_progress;

typedef struct td_progress_hook {
    bool (*report)(void *user, const td_progress *progress);
    void *user;
} td_progress_hook;

/* --- vocabulary ------------------------------------------------------------------------------
 * An ordered set of distinct id strings: position 0, 1, 2, ... in order of insertion. Ids are bytes
 * without NUL, normally UTF-8, 1 to TD_ID_BYTES_MAX of them.
 * One thread at a time while ids are added; then immutable: any number of threads.
 */
typedef struct td_vocab td_vocab;

enum { TD_ID_BYTES_MAX = 4096 };
#define TD_NONE UINT32_MAX /* "no position" */

/* New, without ids. */
TD_API TD_MUST_CHECK td_status td_vocab_create(td_vocab **out, td_context *context, td_error *err);
TD_API void td_vocab_free(td_vocab *vocab);

/* Position of `id` [bytes], added at the end if it is new. LIMIT beyond UINT32_MAX - 1 ids. */
TD_API TD_MUST_CHECK td_status td_vocab_add(td_vocab *vocab, const char *id, size_t bytes,
                                            uint32_t *position, td_error *err);
TD_API uint32_t td_vocab_count(const td_vocab *vocab);
TD_API uint32_t td_vocab_find(const td_vocab *vocab, const char *id, size_t bytes); /* or TD_NONE */
TD_API const char *td_vocab_id(const td_vocab *vocab, uint32_t position); /* NUL-terminated */

/* ------------------------------------------------------------------------------------------------
 * 1 file -- text files of interactions and items
 * --------------------------------------------------------------------------------------------- */

/* How AUTO decides: of tab, "::", comma and bar the one that cuts most of the first lines into as many
 * fields as the first line, two at least. If none does, blanks: up to four fields in most lines are
 * SPACE, more or a varying number are LISTS. The first line is a header if none of its fields is a
 * number, and one is a usual name or stands above numbers only; or if a column is asked for by name. */
typedef enum td_text_format {
    TD_FORMAT_AUTO,   /* from the first lines */
    TD_FORMAT_CSV,    /* comma, quotes as in RFC 4180 */
    TD_FORMAT_TSV,    /* tab, no quoting */
    TD_FORMAT_COLONS, /* "::", no quoting (MovieLens .dat) */
    TD_FORMAT_PIPE,   /* "|", no quoting (MovieLens 100K u.item) */
    TD_FORMAT_SPACE,  /* runs of blanks, no quoting */
    TD_FORMAT_LISTS   /* one query id, then its candidate ids, separated by blanks (LightGCN) */
} td_text_format;

typedef enum td_text_header { TD_HEADER_AUTO, TD_HEADER_YES, TD_HEADER_NO } td_text_header;
typedef enum td_text_encoding { TD_ENCODING_UTF8, TD_ENCODING_LATIN1 } td_text_encoding;

/* How to read an interactions file. A column is a name of the header line or a number from 1.
 * NULL: the query and candidate columns are guessed from usual names (userId, user_id, user; itemId,
 * movieId, item, ...), else they are the first ones left, so columns 1 and 2; the others are then not
 * read unless named, but for the rating if there is a minimum. Files of LISTS have no columns.
 *
 * Lines must have as many fields as the first one (LISTS: any number); empty lines do not count. Ids
 * are UTF-8 without NUL. Rows that occur twice stay twice. */
typedef struct td_read_options {
    td_text_format format;
    td_text_header header;
    td_text_encoding encoding;
    const char *query_column;
    const char *candidate_column;
    const char *weight_column;    /* sample weight, finite and >= 0 */
    const char *rating_column;    /* rows under `rating_min` are left out, and counted; NULL with a
                                     minimum other than 0: a usual name */
    const char *timestamp_column; /* integer or decimal seconds; decimals are cut */
    float rating_min;
    bool skip_bad_lines; /* count bad lines and go on, instead of failing at the first */
} td_read_options;

TD_API const td_option_table *td_read_option_table(void);
TD_API void td_read_options_init(td_read_options *options);

/* What a read saw. `bad_lines` and `first_bad` are set only with skip_bad_lines. */
typedef struct td_read_report {
    uint64_t bytes; /* after decompression */
    uint64_t lines;
    uint64_t rows;         /* interactions kept */
    uint64_t below_rating; /* left out by rating_min */
    uint64_t bad_lines;
    char first_bad[480]; /* the sentence td_error would have carried */
} td_read_report;

/* ------------------------------------------------------------------------------------------------
 * 2 dataset -- interactions as numbers, with the ids they stand for
 * --------------------------------------------------------------------------------------------- */

/* Rows of (query, candidate[, weight][, timestamp]) over two vocabularies.
 * Immutable: any number of threads. Parts of a split share the vocabularies of the whole. */
typedef struct td_dataset td_dataset;

/* Read one or more files in order into one dataset; each has its own header, if any, and its format is
 * found by itself. Files may be gzip-compressed. A single file written by td_dataset_save is mapped
 * instead of read: it is verified, the options do not apply, and it must not change as long as the
 * dataset lives. `report` and `hook` may be NULL. Files without rows give a dataset without rows.
 * One pass, memory O(unique ids + rows). Errors: NOT_FOUND (file or column), IO, PARSE (line and byte
 * set), CORRUPT (also gzip data that ends too early), UNSUPPORTED (other archives), LIMIT. */
TD_API TD_MUST_CHECK td_status td_dataset_read(td_dataset **out, td_context *context,
                                               const char *const *paths, uint32_t path_count,
                                               const td_read_options *options,
                                               const td_progress_hook *hook,
                                               td_read_report *report, td_error *err);

/* Rows in memory. The arrays are borrowed during the call. */
typedef struct td_interactions {
    uint64_t rows;
    const char *const *query_id;     /* [rows] NUL-terminated */
    const char *const *candidate_id; /* [rows] NUL-terminated */
    const float *weight;             /* [rows] or NULL: 1 */
    const int64_t *timestamp;        /* [rows] seconds, or NULL */
} td_interactions;

/* Row and reason are told: ARGUMENT for an id that is NULL or empty or a negative weight, NUMERIC for a
 * weight that is not finite. */
TD_API TD_MUST_CHECK td_status td_dataset_build(td_dataset **out, td_context *context,
                                                const td_interactions *interactions,
                                                td_error *err);
TD_API void td_dataset_free(td_dataset *dataset);

/* Borrowed view of the rows, in the order read. */
typedef struct td_rows {
    uint64_t count;
    const uint32_t *query;     /* [count] positions in td_dataset_queries */
    const uint32_t *candidate; /* [count] positions in td_dataset_candidates */
    const float *weight;       /* [count] or NULL: all 1 */
    const int64_t *timestamp;  /* [count] or NULL: none */
} td_rows;

/* The rows, and the two vocabularies that their numbers are positions of. */
TD_API td_rows td_dataset_rows(const td_dataset *dataset);
TD_API const td_vocab *td_dataset_queries(const td_dataset *dataset);
TD_API const td_vocab *td_dataset_candidates(const td_dataset *dataset);

/* Number of rows of each candidate. `counts` [td_vocab_count(candidates)] is filled. */
TD_API void td_dataset_candidate_counts(const td_dataset *dataset, uint64_t *counts);

/* Distinct candidates of each query, ascending: those of query q are
 * candidates[offsets[q]] .. candidates[offsets[q + 1] - 1]. Borrowed; made once, internally locked. */
typedef struct td_query_lists {
    uint32_t queries;
    const uint64_t *offsets;    /* [queries + 1] */
    const uint32_t *candidates; /* [offsets[queries]] */
} td_query_lists;

/* The lists of this dataset; MEMORY the first time, if there is none. */
TD_API TD_MUST_CHECK td_status td_dataset_query_lists(const td_dataset *dataset,
                                                      td_query_lists *lists, td_error *err);

typedef enum td_split_kind {
    TD_SPLIT_RANDOM,     /* rows at random */
    TD_SPLIT_TIME,       /* the newest rows of all */
    TD_SPLIT_TIME_QUERY, /* the newest rows of each query */
    TD_SPLIT_LAST,       /* the last `count` rows of each query, by time if known, else file order */
    TD_SPLIT_QUERY       /* rows of each query at random */
} td_split_kind;

typedef struct td_split_options {
    td_split_kind kind;
    double fraction; /* of rows (RANDOM, TIME) or of each query's rows (TIME_QUERY, QUERY) held out */
    uint64_t count;  /* LAST: rows of each query held out; RANDOM, TIME: instead of fraction if > 0 */
    uint64_t seed;   /* RANDOM, QUERY */
} td_split_options;

TD_API const td_option_table *td_split_option_table(void);
TD_API void td_split_options_init(td_split_options *options);

/* Cut a dataset in two: `kept` (to train on) and `held_out`, both owned, rows in the order of the
 * whole. Ties in time are cut by file order, so that the result is one and the same everywhere.
 * A fraction of n rows is round(fraction * n) of them. LAST and QUERY keep at least one row of each query.
 * ARGUMENT for TIME and TIME_QUERY without timestamps, LAST with count 0, more rows than there are. */
TD_API TD_MUST_CHECK td_status td_dataset_split(td_dataset **kept, td_dataset **held_out,
                                                const td_dataset *dataset,
                                                const td_split_options *options, td_error *err);

/* Two files (a given split) in one pair of vocabularies: `first`'s ids, then what is new in
 * `second`. Both results are owned. */
TD_API TD_MUST_CHECK td_status td_dataset_align(td_dataset **first_out, td_dataset **second_out,
                                                const td_dataset *first, const td_dataset *second,
                                                td_error *err);

/* Write a dataset file, which td_dataset_read maps; and verify all rules of a dataset: positions
 * below the counts, weights finite. CORRUPT says which rule is broken, and where. */
TD_API TD_MUST_CHECK td_status td_dataset_save(const td_dataset *dataset, const char *path,
                                               td_error *err);
TD_API TD_MUST_CHECK td_status td_dataset_check(const td_dataset *dataset, td_error *err);

/* Item file: id -> title, and any other column by name (features, later). Read like a file of
 * interactions, but an id may occur once only. Immutable: any number of threads. */
typedef struct td_catalog td_catalog;

typedef struct td_catalog_options {
    td_text_format format;
    td_text_header header;
    td_text_encoding encoding;
    const char *id_column;    /* NULL: a usual name, else column 1 */
    const char *title_column; /* NULL: a usual name, else column 2; of one column, the id */
    bool skip_bad_lines;
} td_catalog_options;

TD_API const td_option_table *td_catalog_option_table(void);
TD_API void td_catalog_options_init(td_catalog_options *options);
/* Read an item file. Errors as those of td_dataset_read. */
TD_API TD_MUST_CHECK td_status td_catalog_read(td_catalog **out, td_context *context,
                                               const char *path, const td_catalog_options *options,
                                               td_read_report *report, td_error *err);
TD_API void td_catalog_free(td_catalog *catalog);
/* The ids, and the title of one of them. */
TD_API const td_vocab *td_catalog_ids(const td_catalog *catalog);
TD_API const char *td_catalog_title(const td_catalog *catalog, uint32_t position);

/* ------------------------------------------------------------------------------------------------
 * 3 model -- two towers
 * --------------------------------------------------------------------------------------------- */

/* A query tower and a candidate tower, the ids they know, the titles, and which candidates each
 * query was trained on ("seen"). One thread at a time while it trains; else immutable. */
typedef struct td_model td_model;

typedef enum td_similarity { TD_SIMILARITY_DOT, TD_SIMILARITY_COSINE } td_similarity;
typedef enum td_vocabulary { TD_VOCABULARY_TRAIN, TD_VOCABULARY_ALL } td_vocabulary;
typedef enum td_initializer { TD_INIT_UNIFORM, TD_INIT_NORMAL } td_initializer;

/* What a query's vector is made of, before dense layers and normalisation. Its history are the candidates
 * that it was trained on, by their rows of the candidate tower's table, which the towers share: there they
 * learn from both sides. In training the history of a query lacks what the query is asked for in that
 * step, so that no positive gives itself away; else it is whole. Ids without a vector of their own have
 * none; td_model_encode_histories takes that of a query which was not there. */
typedef enum td_query_tower {
    TD_QUERY_ID,        /* a vector of its own */
    TD_QUERY_HISTORY,   /* a vector common to all + its history pooled (YoutubeDNN: Covington et al.,
                         * RecSys 2016) */
    TD_QUERY_ID_HISTORY /* a vector of its own + its history pooled (SimpleX: Mao et al., CIKM 2021) */
} td_query_tower;

/* How n vectors e become one. */
typedef enum td_pooling {
    TD_POOLING_MEAN,     /* sum / n */
    TD_POOLING_SQRT,     /* sum / sqrt(n): as long for many as for few */
    TD_POOLING_ATTENTION /* sum of a e, a = softmax over the history of <v, tanh(W e + b)>, v being the
                          * vector that is added to: SimpleX's user attention, or self attention if v is
                          * common to all */
} td_pooling;

typedef struct td_model_options {
    uint32_t dim;
    uint32_t heads;              /* vectors per query; a candidate is scored by the best of them */
    /* Widths of dense layers behind the table, relu between them, as in TFRS' deep retrieval tutorial.
     * The last one must be dim (a query's layer makes heads * dim); the table then has dim numbers a
     * row. Empty: vectors are rows of the table. */
    td_u32_list query_layers, candidate_layers;
    td_similarity similarity;    /* cosine: both outputs are divided by their L2 norm */
    td_initializer initializer;
    float init_scale;            /* uniform: U(-s, s); normal: N(0, s) */
    td_vocabulary vocabulary;    /* ids with a row in the training part, or all of the dataset's */
    uint32_t min_count;          /* TRAIN: ids with fewer rows share the out-of-vocabulary rows */
    uint32_t oov_buckets;        /* rows for unknown ids, chosen by a hash of the id */
    uint64_t seed;
    td_query_tower query_tower;  /* with a history: one head, unless there are query_layers */
    td_pooling history_pooling;
    /* Of a longer history the most recent ones by time, and without timestamps a choice by seed; 0: all. */
    uint32_t history_length;
} td_model_options;

TD_API const td_option_table *td_model_option_table(void);
TD_API void td_model_options_init(td_model_options *options);

/* New, untrained. Vocabularies, counts and seen lists are copied from `train`, titles from `catalog`
 * (may be NULL). */
TD_API TD_MUST_CHECK td_status td_model_create(td_model **out, td_context *context,
                                               const td_dataset *train, const td_catalog *catalog,
                                               const td_model_options *options, td_error *err);
/* A larger model, to be trained on: `model` and what happened since, `more` (new rows only: their counts
 * are added). Old ids keep their positions and, to the bit, their vectors; ids of `more` that the model's
 * options let in follow, each with the vector that it had as an unknown id until now, so that nothing the
 * model says changes before training. Seen lists are merged; titles of `catalog` (may be NULL) go before
 * the old ones. Histories grow at once, and vectors made of them with it. `model` stays as it is.
 * td_model_train goes on from there; td_model_train_ials solves all
 * vectors anew, so it needs all rows. LIMIT beyond the number of rows that a table may have. */
TD_API TD_MUST_CHECK td_status td_model_extend(td_model **out, const td_model *model,
                                               const td_dataset *more, const td_catalog *catalog,
                                               td_error *err);
TD_API void td_model_free(td_model *model);

/* Load maps the file, verifies every checksum and runs td_model_check. Errors: NOT_FOUND, IO,
 * VERSION (no model file), CORRUPT (what and at which byte). */
TD_API TD_MUST_CHECK td_status td_model_load(td_model **out, td_context *context, const char *path,
                                             td_error *err);
TD_API TD_MUST_CHECK td_status td_model_save(const td_model *model, const char *path,
                                             td_error *err);
TD_API TD_MUST_CHECK td_status td_model_check(const td_model *model, td_error *err);

/* Facts of a model; the vocabularies hold the known ids. */
TD_API const td_model_options *td_model_get_options(const td_model *model);
TD_API const td_vocab *td_model_queries(const td_model *model);
TD_API const td_vocab *td_model_candidates(const td_model *model);
TD_API const char *td_model_title(const td_model *model, uint32_t candidate); /* or NULL */
TD_API uint64_t td_model_candidate_count(const td_model *model, uint32_t candidate); /* rows */
TD_API uint64_t td_model_parameter_count(const td_model *model);
/* How the model was last trained, as JSON: {"trainer":"softmax","options":{...}}, the trainer being
 * softmax (td_model_train) or ials; NULL if it was not. Borrowed until the next training. In files too. */
TD_API const char *td_model_training(const td_model *model);

/* Candidates `query` was trained on, ascending positions. Borrowed. */
TD_API const uint32_t *td_model_seen(const td_model *model, uint32_t query, uint32_t *count);

/* Vectors of queries by id, through the query tower; unknown ids use the out-of-vocabulary rows.
 * `out` [count, heads, dim] is filled. Immutable use: any number of threads. */
TD_API TD_MUST_CHECK td_status td_model_encode_queries(const td_model *model,
                                                       const char *const *ids, uint32_t count,
                                                       float *out, td_error *err);

/* The same by position in td_model_queries; TD_NONE is not allowed. `out` [count, heads, dim]. */
TD_API TD_MUST_CHECK td_status td_model_encode_query_rows(const td_model *model,
                                                          const uint32_t *rows, uint32_t count,
                                                          float *out, td_error *err);

/* Lists of candidates by position in td_model_candidates, those of list q being
 * candidates[offsets[q]] .. candidates[offsets[q + 1] - 1]. TD_NONE is passed over. */
typedef struct td_histories {
    uint32_t count;
    const uint64_t *offsets;    /* [count + 1] */
    const uint32_t *candidates; /* [offsets[count]] */
    const float *weight;        /* [offsets[count]] finite and >= 0, or NULL: 1 */
} td_histories;

/* Vectors of queries that the model has never seen, from their histories, oldest first, through the query
 * tower: nothing is fitted. A candidate that a list has twice counts once; of more than history_length the
 * last ones count. The vector of its own is that of the first out-of-vocabulary row, and for an empty
 * list there is no other. `out` [count, heads, dim]. UNSUPPORTED without a history in the tower,
 * ARGUMENT for a position that is not there, or for weights, which the tower knows nothing of. */
TD_API TD_MUST_CHECK td_status td_model_encode_histories(const td_model *model,
                                                         const td_histories *histories, float *out,
                                                         td_error *err);

/* Vectors of all known candidates, in the order of td_model_candidates. `out` [N, dim]. */
TD_API TD_MUST_CHECK td_status td_model_encode_candidates(const td_model *model, float *out,
                                                          td_error *err);

/* ------------------------------------------------------------------------------------------------
 * 4 loss -- the retrieval task and cross-entropies, on bare arrays
 * --------------------------------------------------------------------------------------------- */

typedef enum td_reduction {
    TD_REDUCTION_SUM,  /* sum of weight * loss; not divided by the weights */
    TD_REDUCTION_MEAN, /* that sum / B: Keras SUM_OVER_BATCH_SIZE and AUTO */
    TD_REDUCTION_NONE  /* per row; the scalar loss and all gradients are those of the sum */
} td_reduction;

/* What the factors of scores and gradients are rounded to. Sums, exponentials and losses are float32 or
 * more in both, and so are weights and optimizer.
 * BFLOAT16 keeps 8 of the 24 bits of a number's mantissa, and its range: what is rounded is the nearest, of
 * two the even one; beyond 3.39e38 infinite, which ends as a score that is not finite; below 2^-126 zero.
 * Positives' own part of a gradient is not rounded. Errors of gradients: 1e-3 of their length where
 * scores / temperature stay below 5 or so, growing with them (docs/speed.md).
 * It is for processors that multiply pairs of it (td_context_bfloat16) at more numbers a second than float32;
 * Sapphire Rapids has the instruction and does half as many (docs/speed.md; bench_train prints both). Without
 * it, it works, to about the same bits, and takes more time than FLOAT32: its numbers are widened. */
typedef enum td_precision {
    TD_PRECISION_FLOAT32,
    TD_PRECISION_BFLOAT16
} td_precision;

/* In-batch softmax retrieval, as TFRS tasks.Retrieval. Scores pass through these steps, in order:
 *   1 scores            S[b][c] = max over h of <query[b][h], candidate[c]>
 *   2 labels            row b's positive is candidate b (or `positive[b]`)
 *   3 temperature       S /= temperature
 *   4 sampling          S[b][c] -= ln(clip(sampling_probability[c], 1e-6, 1))
 *   5 accidental hits   columns with the id of the row's positive, but for itself, leave
 *   6 score mask        columns with mask 0 leave
 *   7 hard negatives    the positive and the `hard_negatives` best of the others stay; ties: lower
 *                       column
 *   8 cross-entropy     weight[b] * (ln sum exp S[b] - S[b][positive]), with label smoothing
 * Symmetric: the mean of that and of the other way round, in which each row's positive is measured against
 * the queries of the batch by the same steps (Radford et al., ICML 2021, CLIP): S[b'][positive[b]] over b'.
 * There an accidental hit is another query with the row's own query_id; step 4 changes nothing.
 * A column that left takes no part: probability 0, gradient 0. TFRS puts -3.4e36 there, which is the
 * same unless labels are smoothed or the positive itself leaves; see docs/tfrs.md. */
typedef struct td_retrieval_options {
    float temperature;           /* > 0 */
    bool remove_accidental_hits; /* needs candidate ids */
    uint32_t hard_negatives;     /* 0, or C - 1 and more: all negatives stay */
    float label_smoothing;       /* [0, 1]: positive 1 - e + e/n, others e/n, over the n that stay */
    bool symmetric;              /* candidates against queries too; for one head, without score_mask */
    td_reduction reduction;
    td_precision precision;      /* of the products; td_retrieval_scores is always in float32 */
} td_retrieval_options;

TD_API const td_option_table *td_retrieval_option_table(void);
TD_API void td_retrieval_options_init(td_retrieval_options *options);

/* One batch. All arrays are borrowed during the call; gradients are written, not added. */
typedef struct td_retrieval_batch {
    uint32_t queries;    /* B */
    uint32_t candidates; /* C; rows beyond the positives are extra negatives */
    uint32_t heads;      /* H; 0 means 1 */
    uint32_t dim;        /* D */
    const float *query;                /* [B, H, D] */
    const float *candidate;            /* [C, D] */
    const uint32_t *positive;          /* [B] column of each row's positive, or NULL: b (C >= B) */
    const float *sample_weight;        /* [B] any finite numbers, or NULL: 1 */
    const float *sampling_probability; /* [C] >= 0, clipped in step 4; or NULL: no correction */
    const uint64_t *candidate_id;      /* [C] or NULL; equal numbers are equal candidates */
    const uint64_t *query_id;          /* [B] or NULL; for symmetric with removal */
    const uint8_t *score_mask;         /* [B, C], 0: leave out; or NULL */
} td_retrieval_batch;

typedef struct td_retrieval_result {
    double loss;         /* reduced; for NONE the sum */
    double d_temperature; /* of the reduced loss, with respect to the temperature */
    float *row_loss;     /* [B] or NULL; weight * loss per row, filled */
    float *d_query;      /* [B, H, D] or NULL, filled */
    float *d_candidate;  /* [C, D] or NULL, filled */
} td_retrieval_result;

/* Workspace of the task: O(C D) floats and O(C) a thread, no B x C term. One thread at a time; the
 * context's threads share the work. Sized for batches up to the given numbers: compute allocates
 * nothing. */
typedef struct td_retrieval td_retrieval;

typedef struct td_retrieval_shape {
    uint32_t queries_max, candidates_max;
    uint32_t heads; /* of every batch; 0 means 1 */
    uint32_t dim;   /* of every batch */
} td_retrieval_shape;

/* All memory of the task is taken here. */
TD_API TD_MUST_CHECK td_status td_retrieval_create(td_retrieval **out, td_context *context,
                                                   const td_retrieval_shape *shape,
                                                   const td_retrieval_options *options,
                                                   td_error *err);
TD_API void td_retrieval_free(td_retrieval *task);

/* Loss and gradients of one batch. ARGUMENT for shapes and options that do not fit (C < B without
 * `positive`, removal without ids, a masked positive, a negative probability), NUMERIC for NaN or
 * infinite input or result, with the row. After a failure the arrays of `result` hold nothing of
 * use. A batch of no rows has loss 0. */
TD_API TD_MUST_CHECK td_status td_retrieval_compute(td_retrieval *task,
                                                    const td_retrieval_batch *batch,
                                                    td_retrieval_result *result, td_error *err);

/* What td_retrieval_scores puts in columns that left: -FLT_MAX / 100, as TFRS. It is finite, so that
 * td_topk_accuracy and the cross-entropies take the scores as they are. */
#define TD_SCORE_LEFT (-3.4028234663852886e36f)

/* Scores after steps 1 to 7, for batch metrics and inspection. `scores` [B, C]: columns that left
 * are TD_SCORE_LEFT. Errors as for compute. */
TD_API TD_MUST_CHECK td_status td_retrieval_scores(td_retrieval *task,
                                                   const td_retrieval_batch *batch, float *scores,
                                                   td_error *err);

/* Sampling probability of each candidate: the share of its count in the total.
 * probability[i] = counts[i] / sum(counts); all 0 if the sum is. Pure. */
TD_API void td_sampling_from_counts(const uint64_t *counts, uint32_t count, float *probability);

/* Streaming estimate of how often an id appears per batch (Yi et al., RecSys 2019, algorithms 2 and
 * 3: moving average of the gap between steps; of several hash arrays the largest gap wins). Memory is
 * 8 bytes a bucket. One thread at a time. */
typedef struct td_frequency td_frequency;

typedef struct td_frequency_options {
    uint32_t buckets;    /* of each array, H in the paper */
    uint32_t arrays;     /* hash functions */
    float learning_rate; /* alpha of the moving average, (0, 1] */
    float initial_gap;   /* gap before the first sighting, in steps, >= 1; the paper's 100 */
} td_frequency_options;

TD_API const td_option_table *td_frequency_option_table(void);
TD_API void td_frequency_options_init(td_frequency_options *options);
/* New, having seen no step. */
TD_API TD_MUST_CHECK td_status td_frequency_create(td_frequency **out, td_context *context,
                                                   const td_frequency_options *options,
                                                   td_error *err);
TD_API void td_frequency_free(td_frequency *frequency);
/* Count the ids of one more step (batch); an id that occurs several times counts once. */
TD_API void td_frequency_update(td_frequency *frequency, const uint64_t *ids, uint32_t count);
/* probability[i] = 1 / gap of ids[i], at most 1. */
TD_API void td_frequency_probability(const td_frequency *frequency, const uint64_t *ids,
                                     uint32_t count, float *probability);

/* Cross-entropies with Keras' conventions (clip at 1e-7, probabilities renormalised, MEAN divides by
 * the number of rows that are not left out; see docs/tfrs.md). `prediction` and `d_prediction` are
 * [rows, classes]. Pure; any thread. ARGUMENT for labels and targets out of range, NUMERIC for input
 * or result that is not finite, with the row. */
typedef struct td_crossentropy_options {
    bool from_logits;
    float label_smoothing;     /* categorical and binary, [0, 1] */
    td_reduction reduction;    /* default: mean, as Keras */
    int64_t ignore_class;      /* sparse: rows with this label are left out; INT64_MIN: none */
} td_crossentropy_options;

TD_API const td_option_table *td_crossentropy_option_table(void);
TD_API void td_crossentropy_options_init(td_crossentropy_options *options);

typedef struct td_crossentropy_result {
    double loss;         /* reduced; for NONE the sum */
    float *row_loss;     /* [rows] or NULL; weight * loss per row, filled */
    float *d_prediction; /* [rows, classes] or NULL, of the reduced loss, filled */
} td_crossentropy_result;

typedef struct td_predictions {
    uint64_t rows;
    uint32_t classes;
    const float *prediction; /* [rows, classes] */
    const float *weight;     /* [rows] or NULL: 1 */
} td_predictions;

/* Loss and gradient of rows against probabilities of the classes, or against the number of the right
 * class. ARGUMENT for a label out of range, NUMERIC for a loss that is not finite. */
TD_API TD_MUST_CHECK td_status td_categorical_crossentropy(const td_predictions *predictions,
                                                           const float *target, /* [rows, classes] */
                                                           const td_crossentropy_options *options,
                                                           td_crossentropy_result *result,
                                                           td_error *err);
TD_API TD_MUST_CHECK td_status td_sparse_categorical_crossentropy(
    const td_predictions *predictions, const int64_t *label, /* [rows] */
    const td_crossentropy_options *options, td_crossentropy_result *result, td_error *err);
/* `target` [rows, classes] in [0, 1]; the loss of a row is the mean over its classes. */
TD_API TD_MUST_CHECK td_status td_binary_crossentropy(const td_predictions *predictions,
                                                      const float *target,
                                                      const td_crossentropy_options *options,
                                                      td_crossentropy_result *result,
                                                      td_error *err);

/* ------------------------------------------------------------------------------------------------
 * 5 optimizer -- moving the weights
 * --------------------------------------------------------------------------------------------- */

typedef enum td_optimizer_kind {
    TD_OPTIMIZER_SGD,             /* w -= lr g; momentum m: v = m v - lr g; w += v (Keras) */
    TD_OPTIMIZER_ADAGRAD,         /* a += g^2; w -= lr g / sqrt(a + eps) (tf-keras) */
    TD_OPTIMIZER_ADAGRAD_TORCH,   /* a += g^2; w -= lr g / (sqrt(a) + eps) (torch; old Keras) */
    TD_OPTIMIZER_ADAGRAD_ROWWISE, /* a += mean(g^2), one a per row; then as torch (FBGEMM) */
    TD_OPTIMIZER_ADAM_LAZY        /* Adam, moments of touched rows only (torch SparseAdam) */
} td_optimizer_kind;

typedef enum td_schedule_kind {
    TD_SCHEDULE_CONSTANT,
    TD_SCHEDULE_EXPONENTIAL, /* lr rate^(t / steps) */
    TD_SCHEDULE_COSINE,      /* from lr to lr * rate over `steps` */
    TD_SCHEDULE_LINEAR,      /* from lr to lr * rate over `steps` */
    TD_SCHEDULE_INVERSE_TIME /* lr / (1 + rate t / steps) */
} td_schedule_kind;

typedef struct td_optimizer_options {
    td_optimizer_kind optimizer;
    float learning_rate;
    float initial_accumulator; /* Adagrad */
    float epsilon;
    float momentum; /* SGD */
    float beta1, beta2; /* Adam */
    float l2; /* adds l2 * weights to the gradients of the rows that move */
    td_schedule_kind schedule;
    uint64_t warmup_steps; /* linear from 0 before the schedule starts */
    uint64_t decay_steps;  /* `steps` above; 0: the whole training */
    float decay_rate;      /* `rate` above */
} td_optimizer_options;

TD_API const td_option_table *td_optimizer_option_table(void);
TD_API void td_optimizer_options_init(td_optimizer_options *options);

/* Learning rate at step t (0-based) of `steps`. Pure. */
TD_API double td_learning_rate(const td_optimizer_options *options, uint64_t step, uint64_t steps);

/* State of one table of weights [rows, dim]. Memory: rows * dim floats (plain SGD none, Adam twice as
 * many, row-wise Adagrad one per row) and 4 bytes a row. One thread at a time. */
typedef struct td_optimizer td_optimizer;

/* New state, for weights that have not moved yet. */
TD_API TD_MUST_CHECK td_status td_optimizer_create(td_optimizer **out, td_context *context,
                                                   uint64_t rows, uint32_t dim,
                                                   const td_optimizer_options *options,
                                                   td_error *err);
TD_API void td_optimizer_free(td_optimizer *optimizer);

/* One step. `touched` [count] names the rows that `gradient` [count, dim] belongs to; rows that occur
 * several times are summed first, in the order given; rows not named stay, with their state. NULL: all
 * rows in order, and `count` is their number. `weights` [rows, dim] changes in place. Allocates nothing
 * once `count` has been as large before. ARGUMENT for a row that is not there: nothing has changed then.
 * The same bits for any number of threads. */
TD_API TD_MUST_CHECK td_status td_optimizer_step(td_optimizer *optimizer, float *weights,
                                                 const uint32_t *touched, uint64_t count,
                                                 const float *gradient, double learning_rate,
                                                 td_error *err);

typedef enum td_sampling {
    TD_SAMPLING_NONE,      /* no correction: TFRS' default */
    TD_SAMPLING_COUNTS,    /* probabilities from the counts of the training part */
    TD_SAMPLING_STREAMING  /* td_frequency */
} td_sampling;

/* Which candidates a row's positive is measured against. A step shares them among its rows. */
typedef enum td_negatives {
    TD_NEGATIVES_BATCH,   /* those of the other rows of the batch: TFRS */
    TD_NEGATIVES_SAMPLED, /* `count` drawn for the step; the row's own positive beside them */
    TD_NEGATIVES_MIXED,   /* both */
    TD_NEGATIVES_ALL      /* every candidate: the full softmax */
} td_negatives;

/* Draws are a function of (seed, epoch, batch). With sampling_correction COUNTS the loss estimates that
 * over all candidates, whatever the kind: each column gets minus the logarithm of the expected number of
 * times that it comes. */
typedef struct td_negative_options {
    td_negatives kind;
    uint32_t count;  /* SAMPLED and MIXED: drawn for each step, with repetitions */
    float power;     /* a: drawn with probability ~ (training rows of a candidate)^a; 0: all alike */
    uint32_t memory; /* candidates of so many batches before are negatives too; not for ALL */
} td_negative_options;

/* What is minimised: for each row with the score p of its positive and s of its negatives (src/kernel/
 * row_loss.h has the formulas and sources). Sampling corrections and the options of the retrieval task
 * but for temperature and reduction are the softmax's alone. */
typedef enum td_loss {
    TD_LOSS_SOFTMAX, /* the retrieval task */
    TD_LOSS_CCL,     /* 1 - p + negative_weight * mean of max(0, s - margin): cosine contrastive */
    TD_LOSS_BPR,     /* mean of ln(1 + exp(s - p)) */
    TD_LOSS_HINGE,   /* mean of max(0, margin - p + s) */
    TD_LOSS_WARP,    /* the same over those that violate the margin, weighted by ln(1 + how many) */
    TD_LOSS_SIGMOID  /* ln(1 + exp(-p)) + negative_weight * mean of ln(1 + exp(s)) */
} td_loss;

/* The temperature of the options is where it starts. Learned as its logarithm by Adam. */
typedef struct td_temperature_options {
    bool learned;
    float least, most; /* bounds */
    float rate;        /* learning rate of the logarithm */
} td_temperature_options;

/* What a batch is. */
typedef enum td_group {
    TD_GROUP_ROWS,   /* batch_size rows */
    TD_GROUP_QUERIES /* all rows of batch_size queries: a query is scored once an epoch instead of once
                        for each of its rows, which makes TD_NEGATIVES_ALL cheap. With a history in the
                        query tower: one of the history_parts of the rows of each query */
} td_group;

typedef enum td_shuffle {
    TD_SHUFFLE_EPOCH, /* new order each epoch */
    TD_SHUFFLE_ONCE,  /* one order, so the same batches each epoch: the TFRS tutorials' cache() */
    TD_SHUFFLE_NONE   /* file order */
} td_shuffle;

typedef enum td_monitor {
    TD_MONITOR_NDCG,
    TD_MONITOR_RECALL,
    TD_MONITOR_HIT_RATE,
    TD_MONITOR_MRR
} td_monitor;

typedef struct td_train_options {
    td_retrieval_options loss;
    td_loss kind;
    float margin;          /* CCL, HINGE, WARP */
    float negative_weight; /* CCL, SIGMOID */
    td_temperature_options temperature;
    float dropout;         /* share of the numbers of query vectors left out of each step */
    /* Of towers with a history. A query has one vector a step, whatever its rows in it, from the history
     * without their candidates. TD_GROUP_QUERIES would leave nothing of it: each epoch deals a query's rows
     * at random into so many parts, which come in different batches. More parts: more is left of the
     * history, and an epoch takes longer, up to each row by itself. */
    uint32_t history_parts;
    float id_dropout; /* TD_QUERY_ID_HISTORY: share of queries that are strangers in a step: they have the
                       * vector of unknown ids, which learns so what serves queries that were not there */
    bool decoupled; /* softmax: a query's positives, in the batch or not, are no part of its Z, so that they
                     * do not compete, and pull as hard however well they score (Yeh et al., arXiv
                     * 2110.06848); the loss may then be negative */
    /* What is learned are latent vectors, and the tables hold their mean over 0 to so many steps along the graph
     * of training rows, each step (q, c) weighed by 1 / sqrt(rows of q * rows of c): LightGCN (He et al.,
     * SIGIR 2020). Every row moves in every step, so steps should be few and large: TD_GROUP_QUERIES,
     * TD_NEGATIVES_ALL. The trained model is as any other. TD_QUERY_ID and one head only. 0: no graph. */
    uint32_t graph_layers;
    float partition_power; /* p of  p ln Z - score: 1 softmax, above it the bilateral softmax loss */
    td_optimizer_options optimizer;
    td_sampling sampling_correction;
    td_frequency_options frequency; /* TD_SAMPLING_STREAMING */
    td_negative_options negatives;
    td_group group;
    uint32_t epochs;
    uint32_t batch_size; /* rows, or queries with TD_GROUP_QUERIES */
    td_shuffle shuffle;
    uint64_t seed;
    uint32_t patience;        /* epochs without gain on the validation part before stopping; 0: off */
    td_monitor monitor;       /* of the validation part, seen removed */
    uint32_t monitor_k;
    uint32_t validate_every;  /* epochs; the last is always validated */
    bool restore_best;        /* end with the weights of the best epoch */
    float average_decay; /* the model, also the one that is validated, is the moving average of the weights
                          * after each epoch: decay * average + (1 - decay) * weights; 0: no average */
    const char *checkpoint;   /* file, rewritten after each epoch; NULL: none */
    bool resume; /* go on from `checkpoint` if it is there: same bits as without a stop. STATE if it
                    was made with other options, another model or other data; more epochs are fine */
    const char *log;          /* JSON lines, one an epoch; NULL: none */
} td_train_options;

TD_API const td_option_table *td_train_option_table(void);
TD_API void td_train_options_init(td_train_options *options);

/* Settings for data of which only the size is known (docs/quality.md has what they reach). Small ones, up
 * to 3e8 pairs of a query and a candidate, with few rows a candidate: dot product, Adagrad, the negatives
 * of the batch. Small ones with 20 rows a candidate or more: cosine similarity with a temperature, Adam,
 * whole queries against every candidate, decoupled, partition_power above 1. Large ones: the same, but
 * against the batch and drawn candidates.
 * All with epochs enough for early stopping on a validation part. Sets the fields of these choices and leaves
 * all others; options that only negatives of the batch serve (several heads, hard_negatives,
 * label_smoothing, streaming estimates) get the settings of small data. Pure. */
typedef struct td_data_size {
    uint64_t rows; /* to train on */
    uint32_t queries, candidates;
} td_data_size;
TD_API void td_train_recommend(const td_data_size *size, td_model_options *model,
                               td_train_options *options);

/* What training did. Losses are means per row over all rows of an epoch. */
typedef struct td_train_report {
    uint32_t epochs;        /* done, this call and those resumed from */
    uint32_t best_epoch;    /* 1-based; 0 without validation */
    double first_loss, last_loss;
    double best_monitor;    /* of the validation part */
    uint64_t steps;
    double seconds;
    double temperature;     /* at the end: differs from the options' if learned */
} td_train_report;

/* Train in place. `validation` may be NULL. Both datasets must share the vocabularies that the model
 * was made from (td_dataset_split, td_dataset_align). A step allocates nothing.
 * NUMERIC, with epoch and step, if the loss stops being finite: the model then holds the last good
 * epoch. CANCELLED if the hook says so, with the model as it is after the last whole step. */
TD_API TD_MUST_CHECK td_status td_model_train(td_model *model, const td_dataset *train,
                                              const td_dataset *validation,
                                              const td_train_options *options,
                                              const td_progress_hook *hook,
                                              td_train_report *report, td_error *err);

/* --- implicit alternating least squares ------------------------------------------------------
 * A second trainer, without steps or learning rate (Hu, Koren & Volinsky, ICDM 2008, with the loss and
 * the advice of Rendle et al., RecSys 2022, arXiv 2110.14037). With s the dot product of a query's and a
 * candidate's vector, it minimises
 *
 *     sum over rows of weight (s - 1)^2  +  unobserved_weight * sum over all pairs of s^2
 *       + regularization * sum over queries of (w_q + unobserved_weight * N)^exponent |vector|^2
 *       + the same over candidates, with the number of queries for N,
 *
 * w_q being the sum of the weights of the query's rows. An epoch solves all candidates with the queries
 * as they are, then all queries with the candidates as they are: exactly, or, if `block` is less than
 * the dimension, for `block` numbers of a vector after the other (iALS++, arXiv 2110.14044). The loss
 * never rises. What decides quality is the pair unobserved_weight and regularization: the defaults are
 * near the best on sets from 600 to 40 thousand candidates; for the last percents try both on a
 * logarithmic grid on a validation part. A larger dimension then helps.
 */
typedef struct td_ials_options {
    float unobserved_weight; /* alpha; 0: chosen so that all pairs together weigh 8 times the training
                              * rows of the model (td_model_candidate_count): alpha N = 8 rows a query */
    float regularization;    /* lambda, > 0; too large a one makes all vectors zero */
    float exponent;          /* nu: 0 the same for all, 1 in proportion to the rows */
    uint32_t block;          /* numbers of a vector solved together */
    uint32_t epochs;
    uint32_t patience;       /* epochs without gain on the validation part before stopping; 0: off */
    td_monitor monitor;      /* of the validation part, seen removed */
    uint32_t monitor_k;
    bool restore_best;       /* end with the weights of the best epoch */
} td_ials_options;

TD_API const td_option_table *td_ials_option_table(void);
TD_API void td_ials_options_init(td_ials_options *options);

/* Settings that are worth a try, besides those of td_train_recommend, on data of this size: sets
 * unobserved_weight, regularization and block, and the dimension of the model, to those with this number
 * and leaves all else. Returns how many there are; from that number on nothing is set. None for large data
 * (td_train_recommend). Which one is best, a validation part says. Pure. */
TD_API uint32_t td_ials_recommend(const td_data_size *size, uint32_t number, td_model_options *model,
                                  td_ials_options *options);

/* Train in place, from the weights as they are. The model must have dot similarity and one head; its
 * out-of-vocabulary rows learn from the ids that share them, and rows that nothing was learned for
 * become the mean of the queries (what everybody likes), or zero for candidates. `validation`, `hook`
 * and `report` (steps: vectors solved; losses: the sum above per training row) as for td_model_train.
 * NUMERIC if the equations have no solution in float32: the model then holds the last good epoch.
 * CANCELLED if the hook says so: vectors that were not reached are as before. Memory beside the model:
 * 16 bytes a row and the copies to come back to. */
TD_API TD_MUST_CHECK td_status td_model_train_ials(td_model *model, const td_dataset *train,
                                                   const td_dataset *validation,
                                                   const td_ials_options *options,
                                                   const td_progress_hook *hook,
                                                   td_train_report *report, td_error *err);

/* Vectors for queries that the model has never seen, from lists of candidates: the exact minimiser of
 * the loss above with the candidates as they are. For a query of the training part that is the vector
 * training ended with, if `block` was not less than the dimension. Any model with dot similarity and
 * one head will do. Immutable: any number of threads. */
typedef struct td_fold_in td_fold_in;

/* `model` is borrowed and must outlive the result; its weights are read at once, and must stay. Of the
 * options, unobserved_weight, regularization and exponent count. NULL: those that the model was trained
 * with, if it was by iALS, else the defaults. */
TD_API TD_MUST_CHECK td_status td_fold_in_create(td_fold_in **out, const td_model *model,
                                                 const td_ials_options *options, td_error *err);
TD_API void td_fold_in_free(td_fold_in *fold_in);
/* `vectors` [count, dim] is filled; an empty list gives zeros. ARGUMENT for a position that is not
 * there or a weight that is not allowed, NUMERIC as for training. */
TD_API TD_MUST_CHECK td_status td_fold_in_solve(const td_fold_in *fold_in,
                                                const td_histories *histories, float *vectors,
                                                td_error *err);

/* The same for models trained with the softmax, of either similarity and with one head: for each list the
 * vector under which it is likeliest among all candidates, which stand still:
 *     minimise  mean over the list of (ln sum over all c of exp(score c / T) - score / T)
 * (plus regularization / 2 |vector|^2 for the dot product; a cosine's vector has length 1), by gradient
 * descent from the mean of the list's vectors. The loss never rises. */
typedef struct td_fit td_fit;

typedef struct td_fit_options {
    float temperature;    /* that of the training; learned: that where it began */
    uint32_t steps;       /* each costs two products of the lists with all candidates */
    float regularization; /* dot similarity only */
} td_fit_options;

TD_API const td_option_table *td_fit_option_table(void);
TD_API void td_fit_options_init(td_fit_options *options);

/* The model's vectors are copied. `options` NULL: the temperature that the model was trained with, if it
 * was by the softmax, and the defaults. A handle belongs to one thread at a time; the context's threads
 * share the work. */
TD_API TD_MUST_CHECK td_status td_fit_create(td_fit **out, const td_model *model,
                                             const td_fit_options *options, td_error *err);
TD_API void td_fit_free(td_fit *fit);
/* `vectors` [count, dim] is filled; an empty list gives zeros. ARGUMENT as for td_fold_in_solve, NUMERIC if
 * a score is not finite. */
TD_API TD_MUST_CHECK td_status td_fit_solve(td_fit *fit, const td_histories *histories, float *vectors,
                                            td_error *err);

/* --- search over settings --------------------------------------------------------------------
 * Random search with successive halving (Jamieson & Talwalkar, AISTATS 2016; Li et al., JMLR 2018): all
 * trials of round 0 train for a small part of the epochs, the best of them for more in the next round,
 * and so on; in the last round for all. Trial 0 has the settings as they are, so the best is never worse.
 * What a trial is made of is a function of (seed, its number); how many there are, of the time.
 */
enum { TD_TUNE_SETTINGS_MAX = 16, TD_TUNE_TEXT_MAX = 32 };

/* Where an option's values are drawn from: evenly, or evenly in the logarithm. */
typedef struct td_tune_range {
    const char *option; /* its name in an option table */
    double min, max;
    bool logarithmic;
    bool whole;          /* rounded to an integer */
    const char *choices; /* "a|b": one of them; the rest has no meaning then. NULL: numbers */
} td_tune_range;

/* Ranges that td_model_train and td_model_train_ials (with the model's options) are worth searching in;
 * in this order. */
TD_API const td_tune_range *td_tune_softmax_ranges(uint32_t *count);
TD_API const td_tune_range *td_tune_ials_ranges(uint32_t *count);

typedef struct td_tune_options {
    uint32_t trials; /* of round 0, at most */
    uint32_t rounds;
    uint32_t keep;  /* one of so many goes on, with so many times the epochs */
    double seconds; /* for all, in equal shares for the rounds; 0: no limit. Looked at between trials */
    uint64_t seed;
} td_tune_options;

TD_API const td_option_table *td_tune_option_table(void);
TD_API void td_tune_options_init(td_tune_options *options);

typedef struct td_tune_setting {
    const char *option;          /* of its range */
    char text[TD_TUNE_TEXT_MAX]; /* for td_options_set */
} td_tune_setting;

typedef struct td_tune_trial {
    uint32_t number;
    uint32_t round, rounds;
    double effort; /* share of the epochs to train for, 1 in the last round */
    uint32_t count;
    td_tune_setting settings[TD_TUNE_SETTINGS_MAX];
    double score;   /* larger is better; set by the trainee */
    double seconds; /* that it took */
} td_tune_trial;

/* Who trains. `run` trains with the settings and the effort of `trial`, on the training part, and sets
 * its score, measured on a validation part. Of its failures NUMERIC (diverged) makes the trial the worst;
 * others end the search. `done` (may be NULL) hears of each trial and the best so
 * far; its failures end the search. */
typedef struct td_tune_trainee {
    td_status (*run)(void *user, td_tune_trial *trial, td_error *err);
    td_status (*done)(void *user, const td_tune_trial *trial, const td_tune_trial *best,
                      td_error *err);
    void *user;
} td_tune_trainee;

/* Search. `best` (may be NULL) is the trial with the highest score of all rounds, the first of equals.
 * ARGUMENT for a range that is none, LIMIT for too many. One thread; the trainee may use more. */
TD_API TD_MUST_CHECK td_status td_tune(td_tune_trial *best, td_context *context,
                                       const td_tune_range *ranges, uint32_t range_count,
                                       const td_tune_options *options,
                                       const td_tune_trainee *trainee, td_error *err);

/* ------------------------------------------------------------------------------------------------
 * 6 evaluation
 * --------------------------------------------------------------------------------------------- */

/* Keras TopKCategoricalAccuracy over any number of updates: hit if fewer than k classes score
 * strictly higher than the label's, false for rows with a value that is not finite.
 * One thread at a time. */
typedef struct td_topk_accuracy {
    uint32_t k;
    double hits, weights; /* running sums */
} td_topk_accuracy;

/* Start, with k results looked at and nothing counted. */
TD_API void td_topk_accuracy_init(td_topk_accuracy *metric, uint32_t k);
/* `target` [rows, classes]: the label of a row is its first maximum. */
TD_API void td_topk_accuracy_update(td_topk_accuracy *metric, const td_predictions *predictions,
                                    const float *target);
/* `label` [rows]; a label out of range is a miss. */
TD_API void td_topk_accuracy_update_sparse(td_topk_accuracy *metric,
                                           const td_predictions *predictions,
                                           const int64_t *label);
TD_API double td_topk_accuracy_result(const td_topk_accuracy *metric); /* 0 before any weight */
TD_API void td_topk_accuracy_reset(td_topk_accuracy *metric);

/* TFRS FactorizedTopK over a fixed set of candidates. One thread at a time. */
typedef struct td_factorized_topk td_factorized_topk;
struct td_index; /* section 7 */

/* `index` is borrowed, of dot products (else UNSUPPORTED), and must outlive the metric. */
TD_API TD_MUST_CHECK td_status td_factorized_topk_create(td_factorized_topk **out,
                                                         td_context *context,
                                                         const struct td_index *index,
                                                         const td_u32_list *ks, td_error *err);
TD_API void td_factorized_topk_free(td_factorized_topk *metric);
/* Score mode: `positives` [rows, dim] are the true candidates' vectors; a hit at k if fewer than k
 * candidates score strictly higher. The positive's score comes from the same arithmetic as theirs.
 * `weight` [rows] or NULL. As in TFRS a row is a miss at every k if its own score, or one of the first
 * max(k) scores, is not finite. */
TD_API TD_MUST_CHECK td_status td_factorized_topk_update(td_factorized_topk *metric,
                                                         const td_vectors *queries,
                                                         const td_vectors *positives,
                                                         const float *weight, td_error *err);
/* Id mode: `position` [rows] of the true candidate in the index (TD_NONE: a miss); a hit at k if it
 * is among the first k results. Ties are cut by position here, by value in score mode. */
TD_API TD_MUST_CHECK td_status td_factorized_topk_update_ids(td_factorized_topk *metric,
                                                             const td_vectors *queries,
                                                             const uint32_t *position,
                                                             const float *weight, td_error *err);
/* `result` [number of ks] in the order given. */
TD_API void td_factorized_topk_result(const td_factorized_topk *metric, double *result);
TD_API void td_factorized_topk_reset(td_factorized_topk *metric);

typedef struct td_evaluate_options {
    td_u32_list k;
    bool exclude_seen; /* take each query's training candidates out of its ranking */
} td_evaluate_options;

TD_API const td_option_table *td_evaluate_option_table(void);
TD_API void td_evaluate_options_init(td_evaluate_options *options);

/* Metrics at one k. Means over the queries that have at least one test row, except `accuracy`,
 * which is over test rows: TFRS' top-k categorical accuracy (ties count as hits). In a ranking, equal
 * scores stand in the order of positions. Test items that cannot be ranked are misses. */
typedef struct td_metrics_at {
    uint32_t k;
    double accuracy;
    double recall;    /* hits / distinct test items */
    double precision; /* hits / k */
    double hit_rate;  /* share of queries with a hit */
    double ndcg;      /* ideal over min(k, test items) */
    double map;       /* average precision at k, over min(k, test items) */
    double mrr;       /* 1 / rank of the first hit, 0 beyond k */
    double coverage;  /* share of the rankable candidates that occur in some top k */
    double popularity; /* mean training count of all that stand in the top k lists */
    double overlap;    /* chance that an item of one query's list stands in that of another: 1 if all
                        * get the same. One less the inter-user diversity of Zhou et al. (PNAS 2010),
                        * where lists are of equal length; exact, over all pairs of queries */
} td_metrics_at;

typedef struct td_metrics {
    uint32_t count;                      /* of `at` */
    td_metrics_at at[TD_U32_LIST_MAX];
    uint32_t queries;                    /* with at least one test row */
    uint64_t rows;                       /* of the test part */
    uint64_t rows_unknown;               /* whose candidate cannot be ranked: counted as misses */
    double seconds;
} td_metrics;

/* Anything that scores all candidates of the training dataset for some of its queries. `score` fills
 * `scores` [count, candidates]; -INFINITY: not to be recommended. Called from several threads. */
typedef struct td_scorer {
    td_status (*score)(void *user, const uint32_t *queries, uint32_t count, float *scores,
                       td_error *err);
    void *user;
} td_scorer;

/* Rank for every query of `test` and measure. `train` gives seen items, counts and the candidates;
 * ARGUMENT if the two do not share vocabularies (td_dataset_split, td_dataset_align). With
 * exclude_seen, test items that are also training items of their query are misses. `hook` may be NULL.
 * NUMERIC for a score of NaN; a scorer's own failure is passed on, that of the first query. Metrics
 * are 0 where there is nothing to divide by. */
TD_API TD_MUST_CHECK td_status td_evaluate(td_metrics *metrics, td_context *context,
                                           const td_scorer *scorer, const td_dataset *train,
                                           const td_dataset *test,
                                           const td_evaluate_options *options,
                                           const td_progress_hook *hook, td_error *err);
TD_API TD_MUST_CHECK td_status td_evaluate_model(td_metrics *metrics, const td_model *model,
                                                 const td_dataset *train, const td_dataset *test,
                                                 const td_evaluate_options *options,
                                                 const td_progress_hook *hook, td_error *err);
/* Candidates by training count, the same list for all; those without a training row are not in it. */
TD_API TD_MUST_CHECK td_status td_evaluate_popularity(td_metrics *metrics, td_context *context,
                                                      const td_dataset *train,
                                                      const td_dataset *test,
                                                      const td_evaluate_options *options,
                                                      const td_progress_hook *hook,
                                                      td_error *err);

/* --- baselines -------------------------------------------------------------------------------
 * What a model must beat. Each is learned from the training part alone, in one call without
 * randomness, and scores all candidates for any query of it. They look at who took what, not how
 * often: a pair counts once, sample weights are left out (but for popularity, which counts rows).
 */
typedef enum td_baseline_kind {
    TD_BASELINE_POPULARITY, /* training rows of each candidate: the same list for all */
    TD_BASELINE_ITEM_KNN,   /* sum over the query's candidates i that are among the `neighbors` most
                             * similar ones of j: n_ij / (sqrt(n_i n_j) + shrinkage), where n counts
                             * the queries that took i, j, or both (Deshpande & Karypis, TOIS 2004) */
    TD_BASELINE_EASE        /* sum over the query's candidates i of B_ij; B minimises
                             * |X - X B|^2 + regularization |B|^2 with a diagonal of zeros
                             * (Steck, WWW 2019) */
} td_baseline_kind;

typedef struct td_baseline_options {
    td_baseline_kind kind;
    uint32_t neighbors;   /* item-kNN: of each candidate, the most similar others */
    float shrinkage;      /* item-kNN: takes trust from pairs with few queries in common */
    float regularization; /* EASE: lambda, > 0 */
    uint64_t memory_max;  /* EASE: bytes for its matrix of N x N floats; LIMIT beyond */
} td_baseline_options;

TD_API const td_option_table *td_baseline_option_table(void);
TD_API void td_baseline_options_init(td_baseline_options *options);

/* Immutable: any number of threads. */
typedef struct td_baseline td_baseline;

/* Learn from `train`, which is borrowed and must outlive the baseline. With N candidates, time and
 * memory are: popularity O(rows) and N; item-kNN O(sum over queries of their candidates squared) and
 * N * neighbors pairs; EASE N^3 multiply-adds and N^2 floats (ML-1M: a second; 20 thousand candidates:
 * minutes). `hook` may be NULL. LIMIT says how many candidates memory_max allows; NUMERIC if EASE's
 * regularization is too small for float32; CANCELLED. The same bits for any number of threads. */
TD_API TD_MUST_CHECK td_status td_baseline_build(td_baseline **out, td_context *context,
                                                 const td_dataset *train,
                                                 const td_baseline_options *options,
                                                 const td_progress_hook *hook, td_error *err);
TD_API void td_baseline_free(td_baseline *baseline);

/* For td_evaluate: scores of all candidates of the training part, those seen included. Borrows the
 * baseline. Queries without training rows get zeros (popularity: the list for all). ARGUMENT for a
 * query beyond td_dataset_queries. */
TD_API td_scorer td_baseline_scorer(const td_baseline *baseline);

/* --- the memory of a training ----------------------------------------------------------------
 * What a training takes, and the measuring behind it, told before any of it is taken. The figures are
 * bounds: no more is taken, and seldom much less. The library never asks the machine: what may be taken is
 * for the caller to say.
 */
typedef struct td_plan_data {
    td_data_size size;           /* training rows; all ids, those that are only held out too */
    uint64_t query_rows_max;     /* training rows of the query with the most */
    uint64_t candidate_rows_max; /* and of the candidate with the most */
    uint64_t id_bytes;           /* of all ids */
    uint64_t title_bytes;        /* of an item file; 0: none */
    uint64_t validation_rows, test_rows; /* 0: none */
    bool weighted, timed;        /* have rows weights, have they times? */
    uint32_t baselines;          /* measured on the test part too: bits 1 << td_baseline_kind */
    uint32_t threads;            /* 0 means 1 */
} td_plan_data;

/* What is known of datasets; `validation` and `test` may be NULL. Titles, baselines and threads become 0.
 * MEMORY: takes 4 bytes an id for a moment. */
TD_API TD_MUST_CHECK td_status td_plan_data_of(td_plan_data *data, const td_dataset *train,
                                               const td_dataset *validation, const td_dataset *test,
                                               td_error *err);

/* Bytes; UINT64_MAX stands for all that is more. */
typedef struct td_memory_plan {
    uint64_t data;       /* rows and ids of the datasets: there already, so not in `needed` */
    uint64_t model;      /* weights, ids, titles, and what each query has seen */
    uint64_t copies;     /* of the weights: the last good epoch, and the best */
    uint64_t optimizer;  /* state of the optimizer */
    uint64_t workspace;  /* the order of the rows, a batch, and one step */
    uint64_t evaluation; /* vectors, their index and lists, for the larger part that is measured on */
    uint64_t baselines;  /* the largest of them, and its scores; after the training */
    uint64_t needed;     /* at one time, beside the data */
} td_memory_plan;

/* The plan of td_model_create and td_model_train, then td_evaluate_model and the baselines, with their
 * default options. ARGUMENT for options that are not allowed. */
TD_API TD_MUST_CHECK td_status td_train_plan(td_memory_plan *plan, const td_plan_data *data,
                                             const td_model_options *model,
                                             const td_train_options *train, td_error *err);
/* The same for td_model_train_ials. */
TD_API TD_MUST_CHECK td_status td_ials_plan(td_memory_plan *plan, const td_plan_data *data,
                                            const td_model_options *model,
                                            const td_ials_options *ials, td_error *err);

/* LIMIT unless what is needed fits into `bytes_max`; the sentence says what takes the most, and what would
 * make it less. */
TD_API TD_MUST_CHECK td_status td_memory_plan_check(const td_memory_plan *plan, uint64_t bytes_max,
                                                    td_error *err);

/* ------------------------------------------------------------------------------------------------
 * 7 index -- the nearest candidates
 * --------------------------------------------------------------------------------------------- */

/* Vectors ready to be searched by dot product. Any number of threads, each with its own searcher, may
 * search while others update (see updates, below); only td_index_calibrate needs an index alone. */
typedef struct td_index td_index;
typedef struct td_searcher td_searcher;

/* Kinds of index.
 * EXACT looks at every item. TREE looks at the leaves of a k-means partition that are nearest to the
 * query, first at codes of 4 bits a block, then at rows of 8 bits a number, last at the vectors
 * themselves: the scores of its hits are the exact ones, but a hit may be missing. How many leaves and
 * candidates it takes follows from one number, target_recall, once the index is calibrated.
 * AUTO is EXACT for fewer than 20000 items. */
typedef enum td_index_kind { TD_INDEX_AUTO, TD_INDEX_EXACT, TD_INDEX_TREE } td_index_kind;

/* What an EXACT index looks at first. INT8: a copy of the items in integers of 8 bits, a quarter of
 * their size, which tells of most of them that they cannot be among the best; the others are scored.
 * Hits, scores and their order are the same as with NONE, to the bit; it is 2 to 3 times as fast, from
 * some ten thousand items on. AUTO is NONE for fewer than 16384 items or 16 dimensions; else some items
 * are searched among all at build, and INT8 is taken if that takes less work, counted and not timed. */
typedef enum td_prefilter { TD_PREFILTER_AUTO, TD_PREFILTER_NONE, TD_PREFILTER_INT8 } td_prefilter;

/* What a TREE keeps of its items. INT8: each rounded to integers of 8 bits times a scale of its own, 1/127 of
 * its largest absolute value, and nothing else, a quarter of the memory of FLOAT32. The index is then one
 * of the rounded vectors: td_index_vector gives them, scores and their order are theirs. A target_recall is
 * of the best before rounding, as far as it can be kept: see recall_most. What is upserted is rounded as
 * well. (Merges and rebuilds take the memory of FLOAT32 while they are at work.) Not for SQUARED_L2. AUTO is FLOAT32, in a rebuild what the index has. */
typedef enum td_store { TD_STORE_AUTO, TD_STORE_FLOAT32, TD_STORE_INT8 } td_store;

/* What a score is; larger is nearer in each.
 * DOT_PRODUCT  q x.
 * COSINE       q x / (|q| |x|); 0 if either is zeros. Items are kept divided by their lengths.
 * SQUARED_L2   -|q - x|^2: minus the squared distance, summed as 2 q x - |x|^2 - |q|^2 in float32, so that
 *              its rounding is relative to the squared lengths: the score of an equal vector is 0 but for
 *              that, on either side. Of several vectors a query, the nearest counts. */
typedef enum td_distance_measure {
    TD_DOT_PRODUCT,
    TD_COSINE,
    TD_SQUARED_L2
} td_distance_measure;

/* How to build. Names of ScaNN where it has the option. 0: chosen by number and width of the items. */
typedef struct td_index_options {
    td_index_kind kind;
    td_distance_measure distance_measure;
    td_store store;         /* TREE; with AUTO as kind, INT8 makes it one */
    td_prefilter prefilter; /* EXACT */
    uint32_t num_leaves;
    uint32_t dimensions_per_block; /* numbers that share one code of 4 bits */
    float anisotropic_eta; /* weight of a code's error along its item against that across it; 1: none.
                            * ScaNN's threshold T of a vector of length |x| is t = T / |x| and
                            * eta = (D - 1) t^2 / (1 - t^2). */
    uint64_t training_sample_size; /* items that k-means learns from */
    uint32_t training_iterations;
    uint64_t seed;
} td_index_options;

TD_API const td_option_table *td_index_option_table(void);
TD_API void td_index_options_init(td_index_options *options);

/* Build over a copy of `items` [N, dim]. `ids` (may be NULL: "0", "1", ...) names them and must hold
 * exactly N. N may be 0. `options` and `hook` may be NULL. NUMERIC for a value that is not finite, with
 * row and column. */
TD_API TD_MUST_CHECK td_status td_index_build_with(td_index **out, td_context *context,
                                                   const td_vectors *items, const td_vocab *ids,
                                                   const td_index_options *options,
                                                   const td_progress_hook *hook, td_error *err);
/* The same for an exact index. */
TD_API TD_MUST_CHECK td_status td_index_build(td_index **out, td_context *context,
                                              const td_vectors *items, const td_vocab *ids,
                                              td_error *err);
TD_API void td_index_free(td_index *index);
TD_API TD_MUST_CHECK td_status td_index_save(const td_index *index, const char *path,
                                             td_error *err);
TD_API TD_MUST_CHECK td_status td_index_load(td_index **out, td_context *context, const char *path,
                                             td_error *err);
/* The same, checked as strictly, but the large arrays (of a tree all but its centres, of an exact index
 * with INT8 the vectors) stay in the file, which is mapped: loads in less time, and processes share the
 * memory. The file may be replaced meanwhile, as td_index_save does, but its bytes must not change: see
 * docs/speed.md for times and memory. */
TD_API TD_MUST_CHECK td_status td_index_load_mapped(td_index **out, td_context *context,
                                                    const char *path, td_error *err);
TD_API TD_MUST_CHECK td_status td_index_check(const td_index *index, td_error *err);
/* Positions, those of deleted items included. */
TD_API uint64_t td_index_count(const td_index *index);
TD_API uint32_t td_index_dim(const td_index *index);
TD_API const td_vocab *td_index_ids(const td_index *index); /* NULL if built without */
/* Copy of the vector at `position` into `vector` [dim]; zeros for a deleted item; divided by its length in
 * an index by cosine. (Items may be kept
 * packed, so there may be no row to borrow.) */
TD_API void td_index_vector(const td_index *index, uint32_t position, float *vector);

/* What an index is. */
typedef struct td_index_info {
    td_index_kind kind; /* EXACT or TREE */
    td_distance_measure distance_measure;
    uint64_t bytes;     /* of memory, without ids */
    uint64_t mapped;    /* of these in a mapped file */
    td_store store;         /* FLOAT32 or INT8 */
    td_prefilter prefilter; /* EXACT: NONE or INT8 */
    /* TREE, else 0: */
    uint32_t leaves;
    uint32_t leaf_items_max; /* in the largest leaf */
    uint32_t dimensions_per_block;
    float anisotropic_eta;
    uint32_t calibration_queries; /* 0: not calibrated */
    float recall_most; /* of INT8: the largest target_recall that is kept, as calibration found for that k of
                        * 1, 10 and 100 for which it is least; more is not to be had, whatever is asked
                        * for. 1: no such limit is known */
    /* Updates: */
    uint64_t items;     /* that are there: td_index_count less the deleted ones */
    uint64_t pending;   /* vectors that no merge has put into place yet */
    uint64_t updates;   /* vectors and deletions since the index was built or rebuilt */
    double drift;       /* TREE: mean squared distance to their centres of the vectors that were merged
                         * since, over that of those the tree was built for; 0: none yet. Above 1.2
                         * the tree no longer suits them: td_index_rebuild */
} td_index_info;

/* Fill `info`. */
TD_API void td_index_describe(const td_index *index, td_index_info *info);
TD_API const char *td_index_kind_name(td_index_kind kind); /* "tree" */
TD_API const char *td_store_name(td_store store);         /* "int8" */
TD_API const char *td_distance_measure_name(td_distance_measure measure); /* "dot_product" */

/* Learn what each target_recall takes from `queries`: vectors of real users, a few hundred or more.
 * (Users are not where items are, so items are no replacement.) An EXACT index has nothing to learn.
 * Costs one exact and some dozen approximate searches a query. The result belongs to the index and
 * its file. One thread, with no searcher of this index at work. ARGUMENT without queries. */
TD_API TD_MUST_CHECK td_status td_index_calibrate(td_index *index, const td_vectors *queries,
                                                  const td_progress_hook *hook, td_error *err);

/* How thorough a search of a TREE is; an EXACT index needs none of it. The two counts, if not 0,
 * overrule what target_recall would take. */
typedef struct td_search_effort {
    float target_recall; /* mean share of the true k best that is found; 0 means 0.95; 1: exact */
    uint32_t num_leaves_to_search;
    uint32_t reordering_num_neighbors; /* candidates of a query that are scored a second time */
} td_search_effort;

TD_API const td_option_table *td_search_effort_option_table(void);
/* All to the defaults of the table. */
TD_API void td_search_effort_init(td_search_effort *effort);

typedef struct td_hit {
    uint32_t position;
    float score;
} td_hit;

/* What to search for. Positions of `exclude` beyond the index are an error; doubles are fine. */
typedef struct td_search {
    uint32_t k;                      /* results per query; may exceed N */
    const uint32_t *k_per_query;     /* [queries], each <= k; or NULL: k for all */
    const uint64_t *exclude_offsets; /* [queries + 1] or NULL: nothing excluded */
    const uint32_t *exclude;         /* [exclude_offsets[queries]] positions never to return */
    const uint64_t *allow;           /* bitmap, bit i % 64 of word i / 64 for position i; or NULL */
    const float *bias;               /* [N] added to the scores, or NULL; the search is then exact */
    uint64_t positions;              /* that `allow` and `bias` cover, if another thread may add items:
                                      * later ones are then not returned. 0: all of the index */
    td_search_effort effort;         /* TREE only */
} td_search;

/* Scratch for searching; grows to the largest batch seen. One thread at a time. */
TD_API TD_MUST_CHECK td_status td_searcher_create(td_searcher **out, const td_index *index,
                                                  td_error *err);
TD_API void td_searcher_free(td_searcher *searcher);

/* Top k of each query by (score descending, position ascending): all of them from an EXACT index, those
 * found from a TREE. `hits` [queries, k] and `counts` [queries] are filled: min(k, allowed items) each,
 * whatever the kind; places of `hits` beyond that hold TD_NONE and -INFINITY. Never an item that is
 * excluded or not allowed. A score (td_distance_measure) is one chain of float32 fused multiply-adds in
 * the order of the dimensions, starting from the bias; -0 counts as 0, and one without a value (infinity less infinity,
 * where numbers overflow) as -INFINITY. The same bits for any threads, kernels, and grouping of queries
 * into calls. A TREE searches exactly where that is cheaper: few allowed items, or k beyond a sixteenth
 * of them. Allocates nothing once it has seen as large a call. NUMERIC for a query or bias that is not
 * finite, ARGUMENT for k 0 and for positions beyond the index. */
TD_API TD_MUST_CHECK td_status td_searcher_search(td_searcher *searcher, const td_vectors *queries,
                                                  const td_search *search, td_hit *hits,
                                                  uint32_t *counts, td_error *err);

/* --- updates ---------------------------------------------------------------------------------
 * Items come, change and go while searches go on, without a rebuild.
 *
 * Positions. An id has one position for good, that of td_index_ids: a replaced item keeps it, a new id
 * gets the next one (td_index_count grows), and that of a deleted item stays reserved for its id, should
 * it come back. So exclusions, bitmaps and biases by position stay right. An index without ids calls
 * its items "0", "1", ...: the next new one is td_index_count.
 *
 * What a search sees. All of the calls that returned before it began, and none or all of any call at
 * work meanwhile: never a deleted item, never an old vector. For the same updates an EXACT index gives
 * the very hits and scores of one built anew; a TREE looks at vectors that are not yet in its leaves
 * exactly.
 *
 * Threads. td_index_upsert, _delete, _merge, _rebuild, _save, _describe, _vector and _check may be
 * called from any thread at any time, beside searches; those that change the index take turns (they
 * lock each other out, rebuilds only at their start and end). Searches never wait for any of them, nor
 * for a lock. Only td_index_free and td_index_calibrate need the index alone.
 *
 * How. A searcher follows a log that only grows: an update writes its entry, then stores the new length
 * (release); a search loads the length (acquire) and then applies what is new to marks of its own. A
 * merge or rebuild makes a new index beside the old one and stores its address; searches at work
 * go on in the old one, whose memory is freed by the first update or merge after the last of them.
 */

/* Insert, or replace, an item for each row of `items` [rows, dim]; ids [rows] are NUL-terminated. Of
 * an id that is there twice, the last row stays. `positions` [rows] receives where they are; may be
 * NULL. All rows at once, or, on failure, none. Under a microsecond a row, and every so often (once in
 * N / 32 rows, or 1024) a merge, which comes to some tens of microseconds a row (docs/speed.md).
 * ARGUMENT for other dimensions or an id that cannot be; NUMERIC for a value that is not finite, or
 * beyond what a tree takes. */
TD_API TD_MUST_CHECK td_status td_index_upsert(td_index *index, const td_vectors *items,
                                               const char *const *ids, uint32_t *positions,
                                               td_error *err);
/* Delete items. All, or, on failure, none: NOT_FOUND names the first that is not there. Constant time
 * an item. */
TD_API TD_MUST_CHECK td_status td_index_delete(td_index *index, const char *const *ids,
                                               uint32_t count, td_error *err);
/* Put what is pending into place: into the leaves of a tree (those that became four times the mean are
 * split, those below an eighth of it dissolved), or into the panels of an exact index. Done by
 * td_index_upsert when it must be; for a thread that has time, to spare others the wait. Nothing is
 * learned anew. */
TD_API TD_MUST_CHECK td_status td_index_merge(td_index *index, td_error *err);
/* Build anew from the items that are there now, and take the place of the old when done: for a thread
 * of the caller's own. Updates meanwhile are kept. `options` (NULL: defaults) must be of the same kind
 * or AUTO; the distance measure stays, whatever they say. A tree is calibrated on `queries`; without
 * (NULL), it keeps the old table, leaves in proportion. STATE if another rebuild is at work. */
TD_API TD_MUST_CHECK td_status td_index_rebuild(td_index *index, const td_index_options *options,
                                                const td_vectors *queries,
                                                const td_progress_hook *hook, td_error *err);

/* --- recall of a running index ----------------------------------------------------------------
 * A tree's target_recall holds for queries like those it was calibrated on. Queries change, so those
 * who serve watch the recall: a share of all queries is searched a second time, exactly, and the
 * latest of these give a mean with its confidence interval.
 */
typedef struct td_recall_options {
    float share;     /* of the queries that are searched a second time */
    uint32_t window; /* estimates are of the latest so many of these */
    uint64_t seed;   /* which queries these are is a function of it */
} td_recall_options;

TD_API const td_option_table *td_recall_option_table(void);
TD_API void td_recall_options_init(td_recall_options *options);

typedef struct td_recall_estimate {
    uint64_t queries; /* offered since the beginning */
    uint64_t sampled; /* of these searched a second time */
    uint64_t window;  /* of these, the latest that the rest is about */
    double recall;    /* mean share of the true best among the hits; 1 where nothing was to be found */
    double low, high; /* where the recall of all such queries is, with 95 % confidence; 0 and 1 without
                       * a sample */
} td_recall_estimate;

/* One thread at a time. Borrows the index, and has a searcher of its own. */
typedef struct td_recall_sampler td_recall_sampler;

/* Memory: 8 bytes for each query of the window. `options` may be NULL. */
TD_API TD_MUST_CHECK td_status td_recall_sampler_create(td_recall_sampler **out,
                                                        const td_index *index,
                                                        const td_recall_options *options,
                                                        td_error *err);
TD_API void td_recall_sampler_free(td_recall_sampler *sampler);

/* Offer a call of td_searcher_search with its results: the same queries and search, the `hits` and
 * `counts` it filled. Some of the queries are searched exactly, which costs what it costs: call it when
 * the answer is on its way. Allocates nothing once it has seen as large a k. Errors are those of the
 * search; the estimate then is as before the query that failed. */
TD_API TD_MUST_CHECK td_status td_recall_sampler_add(td_recall_sampler *sampler,
                                                     const td_vectors *queries,
                                                     const td_search *search, const td_hit *hits,
                                                     const uint32_t *counts, td_error *err);

/* What is known by now. The interval is Wilson's for a share, with the number of independent trials
 * that the spread of the queries' recalls stands for: at least one a query, at most one a hit. */
TD_API void td_recall_sampler_estimate(const td_recall_sampler *sampler,
                                       td_recall_estimate *estimate);

/* --- vector files --------------------------------------------------------------------------- */

/* Owned matrix read from a file. */
typedef struct td_matrix td_matrix;

/* By the ending of the name: .npy (float32 or float64, C order, [rows, dim] or [rows, heads, dim]),
 * .fvecs, .fbin, else text with one vector a line, numbers separated by commas, semicolons or blanks.
 * Errors: NOT_FOUND, IO, CORRUPT (sizes that do not fit the file), PARSE (line set), UNSUPPORTED,
 * VERSION, NUMERIC (a float64 beyond float32), LIMIT. Immutable: any number of threads. */
TD_API TD_MUST_CHECK td_status td_matrix_read(td_matrix **out, td_context *context,
                                              const char *path, td_error *err);
TD_API void td_matrix_free(td_matrix *matrix);
TD_API td_vectors td_matrix_vectors(const td_matrix *matrix);
/* .npy, float32, [rows, dim], or [rows, heads, dim] if there are several heads. */
TD_API TD_MUST_CHECK td_status td_vectors_write_npy(const td_vectors *vectors, td_context *context,
                                                    const char *path, td_error *err);

/* --- files of Tandem ------------------------------------------------------------------------- */

/* What a container file holds; see docs/format.md. `kind` is "dataset", "model", "index" or
 * "checkpoint". `description` is JSON with metadata and the table of tensors; owned, free with
 * td_text_free. */
TD_API TD_MUST_CHECK td_status td_file_describe(char **description, td_context *context,
                                                const char *path, td_error *err);
/* Verify everything: checksums, and the rules of its kind. */
TD_API TD_MUST_CHECK td_status td_file_check(td_context *context, const char *path, td_error *err);
TD_API void td_text_free(td_context *context, char *text);

#ifdef __cplusplus
}
#endif
#endif
