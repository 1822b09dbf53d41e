#!/bin/sh
# Runs the suite once on very little data while the image is built, so that its compiled loops are in the image.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
examples=/opt/drg/examples
export OMP_NUM_THREADS=1
gzip -dc $examples/ctcf/peaks.fa.gz | awk '/^>/ { n++ } n <= 600' >"$work/peaks.fa"
cd "$work"
drg-shard sequences peaks.fa --negatives dinuc:1 --valid chr8 --test chr9 -o store --quiet
drg-train store --config /opt/drg/configs/ctcf.toml --epochs 1 --device cpu -o model --quiet
drg-attr model store --split test --method tism --device cpu -o attributions --quiet
drg-ism model store --split test --limit 1 --device cpu -o mutagenesis --quiet
drg-import drg $examples/calderon/calderon_shallow_model_params.dat $examples/calderon/calderon_shallow_parameter.pth -o calderon --quiet
drg-ism calderon $examples/calderon/regions.fa --limit 1 --device cpu -o calderon-mutagenesis --quiet
drg-seqlets attributions -o seqlets --quiet
drg-motifs seqlets --database $examples/motifs/hocomoco_v12_core.meme -o motifs --quiet
drg-simulate --num-seqs 20 --motif-db $examples/motifs/encode_motifs.txt --pos-motifs CTCF_known1 --labels additive --noise 1 \
    -o simulated --quiet
drg-shard genome $examples/hg38_tiny/genome.fa.gz -o genome --quiet
drg-shard regions --genome genome --regions $examples/hg38_tiny/accessible.bed --length 256 --negatives gc:1 \
    --tracks $examples/hg38_tiny/targets.tsv --valid w01 --test w02 -o regions --quiet
