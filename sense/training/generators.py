"""The generator that the section `generator` asks for, on a model folder or on the base it was trained from."""

from pathlib import Path

from sense.config import GeneratorConfig, generator_key
from sense.training import endpoint_generator, model_folder, vllm_generator
from sense.training.generate import Generator, load_generator


def create(
    config: GeneratorConfig, folder: Path, model: str, batch_size: int, whole_model: Path, completions: int | None = None
) -> Generator:
    """A generator on the model of `folder`, or for `base` on the base that it was trained from.

    `model` is what it is in the pipeline: base, weak, sft or sense. transformers takes `batch_size` prompts at a time, or fewer
    where they would have more than `completions` completions in all (None: as many as come of it). vLLM reads whole weights
    from files: an adapter is merged, and a nano base written, into the folder `whole_model`. All tokenize with the tokenizer in
    `folder`. UserError if vLLM is not installed or the server cannot be used.
    """
    if config.kind == "transformers":
        return load_generator(folder, batch_size, base=model == "base", completions=completions)
    if config.kind == "endpoint":
        return endpoint_generator.EndpointGenerator(
            config, model, model_folder.load_tokenizer(folder), model_folder.context_length(folder), generator_key()
        )
    vllm_generator.check_installed()
    if model == "base":
        name, revision = model_folder.write_base(folder, whole_model)
    else:
        name, revision = str(model_folder.merge_adapter(folder, whole_model)), None
    return vllm_generator.VllmGenerator(
        config, name, revision, model_folder.load_tokenizer(folder), model_folder.context_length(folder)
    )
