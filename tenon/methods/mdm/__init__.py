"""MDM (arXiv 2410.14157): a masked-diffusion model that plans, where left-to-right models cannot look ahead."""
